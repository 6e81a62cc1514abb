"""Peers whose logits have a free scale do not spoil what is fused from all."""

from types import SimpleNamespace

import pytest
import torch

from modreduce.mean import Mean
from modreduce.wavg import WeightedAverage

CLASSES = 10


def peers(scale: float) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Three peers' logits (64, 10), the third of another scale and worse, and the labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (64,), generator=generator)
    truth = torch.nn.functional.one_hot(labels, CLASSES).float()
    noise = torch.randn(3, 64, CLASSES, generator=generator)
    good, fair, poor = (strength * truth + z for strength, z in zip((3.0, 3.0, 1.0), noise, strict=True))
    return [good, fair, scale * poor], labels


def ensemble(kind: type, free: bool) -> torch.nn.Module:
    """An ensemble of three students, the third with or without a free scale."""
    made = kind(3, CLASSES)
    made.join([SimpleNamespace(free_scale=False)] * 2 + [SimpleNamespace(free_scale=free)])
    return made


@pytest.mark.parametrize("kind", [Mean, WeightedAverage])
def test_a_plain_mean_would_be_spoilt(kind: type) -> None:
    """A scale of 100 lets one poor peer decide alone; standardised, the three decide together."""
    logits, labels = peers(scale=100.0)
    images = torch.zeros(64, 3, 32, 32)
    accuracy = {
        free: (ensemble(kind, free).fuse(logits, images)[0].argmax(1) == labels).float().mean().item()
        for free in (False, True)
    }
    alone = (logits[2].argmax(1) == labels).float().mean().item()
    assert accuracy[False] == pytest.approx(alone, abs=0.05)
    assert accuracy[True] > alone + 0.2


@pytest.mark.parametrize("kind", [Mean, WeightedAverage])
def test_what_is_fused_does_not_depend_on_the_free_scale(kind: type) -> None:
    images = torch.zeros(64, 3, 32, 32)
    first, second = (ensemble(kind, True).fuse(peers(scale)[0], images)[0] for scale in (0.01, 100.0))
    assert torch.allclose(first, second, atol=1e-4)


def test_peers_of_a_held_scale_are_fused_as_they_are() -> None:
    logits, _ = peers(scale=5.0)
    fused, _ = ensemble(Mean, False).fuse(logits, torch.zeros(64, 3, 32, 32))
    assert torch.equal(fused, torch.stack(logits).mean(dim=0))
