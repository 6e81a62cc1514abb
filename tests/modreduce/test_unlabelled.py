"""Batches in which some images have no label: by hand, finite, and the same bits where all have one."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dataset.data import Data
from engine.meters import Meters
from engine.optimizer import make_optimizer
from engine.step import Step
from engine.task import Logged
from helper.batch import UNLABELLED
from helper.errors import UserError
from modreduce import ensemble_dict
from modreduce.group import Group
from modreduce.labels import LabelLoss, balanced_weights
from tests.golden.formula import tensor
from tests.modreduce.groups import RECIPE, group_of, logged_values

METHODS = ["kd", "dist", "at"]
HAS = torch.tensor([True, False, True, True, False, False, True, False])
LOGITS = tensor("logits", (8, 10), std=3)
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 7])
PARTLY = LABELS.where(HAS, torch.tensor(UNLABELLED))


def lacking(data: Data) -> Data:
    """The data, without the labels of the second half of its images."""
    labels = np.where(np.arange(len(data.labels)) < len(data.labels) // 2, data.labels, UNLABELLED)
    return replace(data, train=replace(data.train, labels=labels))


@pytest.mark.parametrize("weights", [None, balanced_weights(LABELS, 10)])
def test_the_loss_is_the_mean_over_the_images_with_a_label(weights):
    loss = LabelLoss(weights, unlabelled=True)
    expected = F.cross_entropy(LOGITS[HAS], LABELS[HAS], weight=weights)
    torch.testing.assert_close(loss(LOGITS, PARTLY), expected)
    logits = LOGITS.clone().requires_grad_()
    without = loss(logits, torch.full_like(LABELS, UNLABELLED))
    without.backward()
    assert without == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_with_every_label_it_is_the_plain_one_to_the_bit():
    found = []
    for unlabelled in (True, False):
        logits = LOGITS.clone().requires_grad_()
        loss = LabelLoss(unlabelled=unlabelled)(logits, LABELS)
        loss.backward()
        found.append((loss, logits.grad))
    assert all(map(torch.equal, *found))


def seen(group: Group, batch) -> tuple[list[dict[str, float]], float]:
    """What a step of a copy of the group logs, and the loss of what the ensemble itself learns; all gradients
    are finite.
    """
    group = copy.deepcopy(group).train()
    group.begin_epoch(3, 10)
    total, logged = group(batch)
    total.backward()
    trained = [p for rows in group.parameter_groups() for p in rows["params"]]
    assert all(p.grad is None or p.grad.isfinite().all() for p in trained)
    values = logged_values(logged)
    return values, total.item() - sum(each["loss"] for each in values)


@pytest.mark.parametrize("online", ensemble_dict)
def test_an_image_without_a_label_counts_in_all_but_the_losses_of_labels(online, data, batch):
    partly = batch._replace(labels=batch.labels.where(HAS, torch.tensor(UNLABELLED)))
    group = group_of(METHODS, online, lacking(data))
    logits = [s.network(batch.images) for s in copy.deepcopy(group).train().students]
    (values, own), (with_all, own_of_all) = seen(group, partly), seen(group, batch)
    for z, ours, theirs in zip(logits, values, with_all, strict=True):
        by_hand = F.cross_entropy(z[HAS], batch.labels[HAS]).item()
        assert ours["ce"] == pytest.approx(by_hand, rel=1e-5)
        assert ours["labelled"] == 0.5 and theirs["labelled"] == 1.0
        correct = (z.argmax(dim=1) == batch.labels)[HAS].sum().item() / 8
        assert ours["correct"] == correct
        others = ours.keys() - {"ce", "loss", "labelled", "correct"}
        assert others >= {"kd"} and all(ours[name] == theirs[name] for name in others)
    if group.online.has_ensemble and abs(own_of_all) > 1e-3:
        learner = copy.deepcopy(group).train().online
        fused = learner.fuse([z.detach() for z in logits], batch.images)[0]
        if online != "okddip":  # whose own loss reads no labels
            expected = F.cross_entropy(fused[HAS], batch.labels[HAS]).item()
            assert own == pytest.approx(expected, abs=2e-4) and own != pytest.approx(own_of_all, abs=1e-3)
        else:
            assert own == pytest.approx(own_of_all, abs=2e-4)
    nothing = batch._replace(labels=torch.full_like(batch.labels, UNLABELLED))
    assert all(each["ce"] == 0 and each["labelled"] == 0 for each in seen(group, nothing)[0])


@pytest.mark.parametrize("online", ensemble_dict)
def test_with_every_label_a_step_is_the_plain_one_to_the_bit(online, data, batch):
    moved = []
    for one in (data, lacking(data)):
        group = group_of(METHODS, online, one)
        group.begin_epoch(3, 10)
        Step(group.train(), make_optimizer(group, RECIPE))(batch)
        moved.append(group.state_dict())
    assert all(torch.equal(value, moved[1][key]) for key, value in moved[0].items())
    assert moved[0].keys() == moved[1].keys()


def test_dot_takes_a_step_without_a_label(data, batch):
    recipe = replace(RECIPE, optimizer="dot")
    group = group_of(METHODS, "wavg", lacking(data))
    nothing = batch._replace(labels=torch.full_like(batch.labels, UNLABELLED))
    Step(group.train(), make_optimizer(group, recipe))(nothing)
    assert all(p.isfinite().all() for p in group.students.parameters())


def test_a_naive_target_is_chosen_by_the_images_with_a_label(data, batch):
    """Of two students, who are right about different images, the one whose images have labels."""
    first, second = (F.one_hot(PARTLY.clamp(min=0), 10) * 9.0, torch.zeros(8, 10))
    second[~HAS] = F.one_hot(LABELS, 10)[~HAS] * 99.0
    group = group_of(METHODS[:2], "kdcl", lacking(data), kdcl_target="naive")
    target = group.online.targets([first, second], batch._replace(labels=PARTLY))[0]
    assert torch.equal(target, first)


def test_accuracy_is_that_of_the_images_with_a_label():
    """Two of four right in a batch with eight labels of ten, none of the two in one with two of twenty."""
    meters = Meters(["kd"], torch.device("cpu"))
    terms = ("loss", "correct", "labelled")
    meters.add(Logged(terms, torch.tensor([[1.0, 4 / 10, 8 / 10]])), 10)
    meters.add(Logged(terms, torch.tensor([[1.0, 0.0, 2 / 20]])), 20)
    assert meters.means() == {"loss": [1.0], "correct": [pytest.approx(4 / 10)]}
    meters.reset()
    meters.add(Logged(terms, torch.tensor([[1.0, 0.0, 0.0]])), 10)
    assert meters.means()["correct"] == [0.0]


def test_who_needs_every_label_says_so(data):
    said = (
        r"--distill dkd needs the label of every image, and some training images have none: allowed are kd, "
    )
    with pytest.raises(UserError, match=said):
        group_of(["kd", "dkd"], "none", lacking(data))
    with pytest.raises(UserError, match=r"--kdcl_target minlogit needs .* allowed are mean and naive"):
        group_of(["kd", "at"], "kdcl", lacking(data), kdcl_target="minlogit")
    with pytest.raises(UserError, match="allowed are kd, fitnet") as refused:
        group_of(["crd"], "none", lacking(data))
    assert "nkd" not in str(refused.value) and "\n" not in str(refused.value)
    group_of(["dkd"], "none", lacking(data), beta=0.0, alpha=1.0)  # of the method nothing is used
