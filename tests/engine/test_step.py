"""The fast step is the published step: against the literal one, compiled, and in low precision."""

import copy
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.literal import LiteralStep, Sample
from benchmarks.literal_losses import Contrast, CrossLayerAttention
from engine.optimizer import make_optimizer
from engine.step import Step
from helper.checkpoint import read_checkpoint
from models import model_dict
from modreduce.schedule import online_weight
from modreduce.student import Student
from tests.modreduce.groups import RECIPE, group_of, logged_values

METHODS = ["kd", "crd", "semckd"]
NEGATIVES = 32
DIGITS = ["--dataset", "digits", "--batch_size", "32"]


def literal_of(group, size: int, n_data: int) -> LiteralStep:
    """The literal step with the weights, banks and settings of a group before its first step."""
    literal = LiteralStep(
        copy.deepcopy(group.teacher.network),
        [copy.deepcopy(student.network) for student in group.students],
        n_data=n_data,
        negatives=NEGATIVES,
        batch_size=size,
        device=torch.device("cpu"),
        online_weight=online_weight(120, 240),
    )
    for ours, theirs in zip(group.students, literal.students, strict=True):
        theirs.network.train()
        if isinstance(theirs.method, Contrast):
            copy_contrast(ours, theirs.method)
        elif isinstance(theirs.method, CrossLayerAttention):
            for name, module in (("queries", "queries"), ("keys", "keys"), ("translators", "regressors")):
                weights = getattr(ours.distiller, name).state_dict()
                getattr(theirs.method, module).load_state_dict(weights)
            theirs.method.train()
    return literal


def copy_contrast(ours: Student, contrast: Contrast) -> None:
    """Heads and banks of a CRD student."""
    loss = ours.distiller.loss
    with torch.no_grad():
        for head, linear in ((loss.head_s, contrast.head_s), (loss.head_t, contrast.head_t)):
            for new, own in zip(linear.parameters(), head.parameters(), strict=True):
                new.copy_(own)
        contrast.bank_s.copy_(loss.bank_s.vectors)
        contrast.bank_t.copy_(loss.bank_t.vectors)


def draw_for(group, batch) -> torch.Tensor:
    """The rows (B, K + 1) that the group's CRD student is about to draw, its generator left as it was."""
    distiller = group.students[1].distiller
    state = distiller.random.get_state()
    indices, kept = distiller.negatives(batch.labels, distiller.random).indices()
    distiller.random.set_state(state)
    negatives = torch.stack([row[keep] for row, keep in zip(indices, kept, strict=True)])
    return torch.cat([batch.indices[:, None], negatives], dim=1)


def weights(module) -> torch.Tensor:
    """All parameters and statistics in one vector."""
    return torch.cat([value.detach().double().flatten() for value in module.state_dict().values()])


def trained_modules(group, literal: LiteralStep) -> list[tuple]:
    """What both versions train, in pairs."""
    pairs = [(a.network, b.network) for a, b in zip(group.students, literal.students, strict=True)]
    crd, semckd = (student.distiller for student in group.students[1:])
    contrast, attention = (student.method for student in literal.students[1:])
    pairs += [(crd.loss.head_s, contrast.head_s), (crd.loss.head_t, contrast.head_t)]
    pairs += [(semckd.translators, attention.regressors)]
    return [*pairs, (semckd.queries, attention.queries), (semckd.keys, attention.keys)]


def test_the_step_is_that_of_the_literal_implementation(data, batch):
    """One step changes everything by the same, to a thousandth; three have the same losses and banks.

    What differs in the last bits grows tenfold with each step of untrained networks.
    """
    group = group_of(METHODS, "wavg", data)
    group.train()
    group.begin_epoch(120, 240)
    literal = literal_of(group, len(batch.labels), len(data.labels))
    step = Step(group, make_optimizer(group, RECIPE))
    pairs = trained_modules(group, literal)
    before = [weights(ours) for ours, _ in pairs]
    for number in range(3):
        sample = Sample(batch.images, batch.labels, batch.indices, draw_for(group, batch))
        logged = step(batch)
        literal(list(sample))
        for values, theirs in zip(logged_values(logged), literal.students, strict=True):
            assert values["loss"] == pytest.approx(theirs.losses[-1], rel=1e-4), number
        loss, contrast = group.students[1].distiller.loss, literal.students[1].method
        for ours, theirs in ((loss.bank_s, contrast.bank_s), (loss.bank_t, contrast.bank_t)):
            assert torch.allclose(ours.vectors, theirs, rtol=0, atol=1e-5 * 10**number), number
        if number == 0:
            for old, (ours, theirs) in zip(before, pairs, strict=True):
                change = weights(theirs) - old
                assert change.norm() > 0
                assert (weights(ours) - old - change).norm() < 1e-3 * change.norm()


@pytest.mark.parametrize(
    "online", ["wavg", "pcl", *(pytest.param(name, marks=pytest.mark.slow) for name in ("one", "fc"))]
)
def test_compiled_steps_equal_eager_ones(online, data, batch):
    states, losses = [], []
    for compiled in (False, True):
        torch.manual_seed(3)
        group = group_of(METHODS, online, data)
        if compiled:
            torch._dynamo.reset()
            group.compile(backend="aot_eager")
        group.train()
        group.begin_epoch(120, 240)
        step = Step(group, make_optimizer(group, RECIPE))
        losses.append(torch.stack([step(batch).values for _ in range(2)]))
        states.append(group.state_dict())
    assert torch.allclose(*losses, rtol=1e-4)
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.allclose(value.float(), states[1][name].float(), rtol=1e-4, atol=1e-5), name


def call(monkeypatch, script: str, *words: object) -> None:
    """A script's main in this process."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    importlib.import_module(script).main()


@pytest.fixture(scope="module")
def trained_teacher(tmp_path_factory) -> Path:
    """A teacher of digits worth learning from."""
    folder = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patch:
        words = ["--model", "resnet8", "--epochs", 6, "--precision", "fp32", *DIGITS]
        call(patch, "train_teacher", *words, "--save_folder", folder)
    path = folder / "models" / "resnet8_digits" / "ckpt_epoch_6.pth"
    assert "resnet8" in model_dict and read_checkpoint(path)["model"]
    return path


@pytest.mark.slow
def test_bf16_reaches_the_accuracy_of_fp32(trained_teacher, tmp_path, monkeypatch):
    """Three seeds, KD and CRD students with their ensemble; the mean may differ by what seeds differ."""
    accuracies = {}
    for precision in ("fp32", "bf16"):
        for seed in (1, 2, 3):
            folder = tmp_path / f"{precision}_{seed}"
            words = ["--path_t", trained_teacher, "--model_s", "resnet8", "--distill", "kd", "crd"]
            words += ["--epochs", 6, "--seed", seed, "--precision", precision, *DIGITS]
            call(monkeypatch, "train_modreduce", *words, "--save_folder", folder)
            results = json.loads(next(folder.rglob("results.json")).read_text())
            scores = [student["test_acc_last"] for student in results["students"]]
            accuracies.setdefault(precision, []).append(scores)
    fp32, bf16 = (torch.tensor(accuracies[name]) for name in ("fp32", "bf16"))
    spread = fp32.std(dim=0).max().item()
    assert fp32.mean() > 85
    assert (fp32.mean(dim=0) - bf16.mean(dim=0)).abs().max() < max(2.0, 2 * spread)
