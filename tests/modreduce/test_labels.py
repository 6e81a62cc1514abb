"""What is learned from labels: of rare classes, and in batches some of whose images have none."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.optimizer import make_optimizer
from engine.step import Step
from modreduce.labels import LabelLoss, balanced_weights
from tests.golden.formula import tensor
from tests.modreduce.groups import RECIPE, built, logged_values, plans_of, settings_of

BALANCED = replace(RECIPE, class_weights="balanced")
LOGITS = tensor("logits", (8, 10), std=3)
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 7])


def test_balanced_weights_are_those_of_the_formula():
    found = balanced_weights(torch.tensor([0, 0, 0, 0, 1, -1, 3]), 4)
    assert found.tolist() == pytest.approx([6 / (4 * 4), 6 / 4, 0, 6 / 4])
    assert torch.equal(balanced_weights(torch.arange(6) % 3, 3), torch.ones(3))


def test_torch_s_mean_is_the_one_with_weights():
    weights = balanced_weights(LABELS, 10)
    own = LabelLoss(weights)(LOGITS, LABELS)
    assert torch.equal(own, F.cross_entropy(LOGITS, LABELS, weight=weights))
    each = F.cross_entropy(LOGITS, LABELS, reduction="none")
    by_class = [each[LABELS.eq(k)].mean() for k in (0, 1, 2, 7)]  # every class of a whole set counts the same
    torch.testing.assert_close(own, torch.stack(by_class).mean())


def test_a_student_s_own_cross_entropy_is_weighted_and_nothing_else(data, batch):
    weighted, plain = (
        built(plans_of(["mlkd", "kd"]), "wavg", data, settings_of(recipe)) for recipe in (BALANCED, RECIPE)
    )
    weights = balanced_weights(torch.from_numpy(data.labels), 10)
    assert weights.unique().numel() > 1
    batch = batch._replace(views={"strong": batch.images.flip(3)})
    logits = [student.network.train()(batch.images) for student in copy.deepcopy(plain).students]
    own_losses, found = [], []
    for group in (weighted, plain):
        group.begin_epoch(3, 10)
        total, logged = group.train()(batch)
        found.append(logged_values(logged))
        own_losses.append(total.item() - sum(values["loss"] for values in found[-1]))
    assert own_losses[0] == pytest.approx(own_losses[1], rel=1e-5)
    for z, ours, theirs in zip(logits, *found, strict=True):
        assert ours["ce"] == pytest.approx(F.cross_entropy(z, batch.labels, weight=weights).item(), rel=1e-6)
        assert ours["ce"] != theirs["ce"]
        different = {name for name in ours if ours[name] != theirs[name]}
        assert different == {"ce", "loss"}
    assert not any("label_loss" in key for key in weighted.state_dict())


def test_dot_learns_the_weighted_task(data, batch):
    """Its two passes together are the gradient of the weighted loss, and of no other."""
    moved = []
    for optimizer, weights in (("dot", "balanced"), ("sgd", "balanced"), ("sgd", "none")):
        recipe = replace(RECIPE, class_weights=weights, optimizer=optimizer, dot_delta=0.0)
        group = built(plans_of(["kd", "at"]), "none", data, settings_of(recipe))
        Step(group.train(), make_optimizer(group, recipe))(batch)
        moved.append(torch.cat([p.detach().flatten() for p in group.students.parameters()]))
    assert (moved[0] - moved[1]).abs().max() < 1e-5 < 1e-3 < (moved[0] - moved[2]).abs().max()
