"""The plain mean, and both rules of the weighted average."""

import pytest
import torch

from modreduce.mean import Mean
from modreduce.wavg import WeightedAverage
from tests.modreduce.materials import BATCH, CLASSES, LABELS, Peer, a_batch, outputs, step


@pytest.mark.parametrize("count", [2, 3])
def test_mean_pulls_everyone_to_the_mean_and_learns_nothing(count):
    method, made = Mean(count, CLASSES), outputs(count)
    method.begin_epoch(23, 24)
    losses = step(method, made, [Peer()] * count)
    assert len(losses) == count and not list(method.parameters())
    fused, weights = method.fuse([o.logits for o in made], a_batch().images)
    torch.testing.assert_close(fused, sum(o.logits for o in made) / count)
    torch.testing.assert_close(weights, torch.full((count,), 1 / count))
    torch.stack(losses).sum().backward()
    assert all(o.logits.grad.abs().sum() > 0 for o in made)


def test_softmax_rule_trains_through_the_softmax():
    method, made = WeightedAverage(3, CLASSES), outputs(3)
    step(method, made, [Peer()] * 3)[-1].backward()
    logits = torch.stack([o.logits.detach() for o in made])
    theta = torch.zeros(3, requires_grad=True)
    fused = torch.einsum("n,nbc->bc", theta.softmax(0), logits)
    torch.nn.functional.cross_entropy(fused, LABELS).backward()
    torch.testing.assert_close(method.theta.grad, theta.grad)
    assert torch.equal(method.theta.detach(), torch.zeros(3))


def test_published_rule_overwrites_its_weights_and_trains_them_bare():
    method, made = WeightedAverage(3, CLASSES, wavg_rule="published"), outputs(3)
    torch.testing.assert_close(method.theta.detach(), torch.full((3,), 0.33))
    with torch.no_grad():
        method.theta.copy_(torch.tensor([0.5, 0.2, -0.1]))
    step(method, made, [Peer()] * 3)[-1].backward()
    weights = torch.tensor([0.5, 0.2, -0.1]).softmax(0)
    torch.testing.assert_close(method.theta.detach(), weights)
    logits = torch.stack([o.logits.detach() for o in made])
    weights.requires_grad_()
    torch.nn.functional.cross_entropy(torch.einsum("n,nbc->bc", weights, logits), LABELS).backward()
    torch.testing.assert_close(method.theta.grad, weights.grad)


@pytest.mark.parametrize(("count", "start"), [(2, 0.5), (3, 0.33), (4, 0.25)])
def test_published_rule_starts_at_hundredths(count, start):
    method = WeightedAverage(count, CLASSES, wavg_rule="published")
    assert method.theta.tolist() == pytest.approx([start] * count)


def test_every_training_step_drags_published_weights_to_the_mean():
    logits = [o.logits.detach() for o in outputs(2)]
    ends = {}
    for rule in ("softmax", "published"):
        method = WeightedAverage(2, CLASSES, wavg_rule=rule)
        with torch.no_grad():
            method.theta.copy_(torch.tensor([2.0, 0.0]))
        for _ in range(20):
            method.targets(logits, a_batch())
        with torch.no_grad():
            ends[rule] = method.eval().fuse(logits, a_batch().images)[1].tolist()
    assert ends["softmax"] == pytest.approx([0.8808, 0.1192], abs=1e-3)
    assert ends["published"] == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize("rule", ["softmax", "published"])
def test_evaluation_changes_nothing_and_a_saved_ensemble_needs_no_rule(rule):
    method, made = WeightedAverage(3, CLASSES, wavg_rule=rule), outputs(3)
    with torch.no_grad():
        method.theta.copy_(torch.tensor([0.5, 0.2, -0.1]))
    loaded = WeightedAverage(3, CLASSES)
    loaded.load_state_dict(method.state_dict())
    logits = [o.logits.detach() for o in made]
    with torch.no_grad():
        for module in (method.eval(), loaded.eval()):
            fused, weights = module.fuse(logits, a_batch().images)
            assert fused.shape == (BATCH, CLASSES)
            torch.testing.assert_close(weights, torch.tensor([0.5, 0.2, -0.1]).softmax(0))
    assert method.theta.tolist() == pytest.approx([0.5, 0.2, -0.1])
