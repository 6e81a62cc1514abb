"""The learning rate over a run: values by hand, and what holds for every schedule."""

import math
import random

import pytest
import torch

from engine.optimizer import Recipe, cosine_rate, decayed_rate, make_optimizer, set_learning_rates
from helper.errors import UserError
from tests.modreduce.groups import group_of


def rates_of(rate: float = 1.0, **recipe) -> list[float]:
    """The rate of every epoch of a run."""
    made = Recipe(**recipe)
    return [made.scheduled(rate, epoch) for epoch in range(made.epochs)]


def test_a_cosine_by_hand():
    root = math.sqrt(0.5)
    assert rates_of(epochs=4, schedule="cosine") == pytest.approx([1, (1 + root) / 2, 0.5, (1 - root) / 2])
    assert rates_of(epochs=1, schedule="cosine") == [1.0]
    assert cosine_rate(0.3, 10, 10) == pytest.approx(0.0)


def test_a_warm_up_by_hand():
    """The full rate comes in its last epoch; the cosine begins behind it."""
    cosine = rates_of(epochs=5, schedule="cosine", warmup_epochs=2)
    assert cosine == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.25])
    step = rates_of(0.4, epochs=6, warmup_epochs=4, lr_decay_epochs=[2, 5], lr_decay_rate=0.5)
    assert step == pytest.approx([0.1, 0.2, 0.15, 0.2, 0.2, 0.1])
    assert rates_of(epochs=3, warmup_epochs=1) == rates_of(epochs=3)


def test_a_step_without_warm_up_is_what_it_was_to_the_bit():
    for asked in (None, [7], [1, 2, 3]):
        recipe = Recipe(lr_decay_epochs=asked)
        for epoch in range(recipe.epochs):
            was = 0.05 * 0.1 ** sum(epoch >= decay for decay in (asked or [150, 180, 210]))
            assert recipe.scheduled(0.05, epoch) == was == decayed_rate(0.05, epoch, recipe.decay_epochs, 0.1)
    assert (Recipe().schedule, Recipe().warmup_epochs) == ("step", 0)


def test_whatever_is_asked_a_rate_never_exceeds_its_own():
    chance = random.Random(1)
    for _ in range(200):
        epochs = chance.randint(2, 300)
        warm_up = chance.randrange(epochs)
        rate = chance.uniform(1e-5, 2.0)
        for schedule in ("step", "cosine"):
            rates = rates_of(rate, epochs=epochs, schedule=schedule, warmup_epochs=warm_up)
            assert all(0 < found <= rate for found in rates)
            if schedule == "cosine":
                assert rates[:warm_up] == sorted(rates[:warm_up])
                assert rates[warm_up:] == sorted(rates[warm_up:], reverse=True)
                assert max(rates) == rates[warm_up] == rate
                quarter = math.pi / (2 * (epochs - warm_up))
                assert rates[-1] == pytest.approx(rate * math.sin(quarter) ** 2)


def test_students_follow_it_and_the_ensemble_does_not(data):
    group = group_of(["kd", "crd"], "wavg", data)
    recipe = Recipe(epochs=4, schedule="cosine", warmup_epochs=2)
    for capturable in (False, True):
        optimizer = make_optimizer(group, recipe, capturable)
        for epoch, factor in enumerate((0.5, 1.0, 1.0, 0.5)):
            rates = set_learning_rates(optimizer, recipe, epoch)
            assert rates == pytest.approx({"kd": 0.05 * factor, "crd": 0.05 * factor, "ensemble": 0.1})
            assert [float(g["lr"]) for g in optimizer.param_groups] == pytest.approx(list(rates.values()))
        assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor) == capturable


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"schedule": "cosine", "lr_decay_epochs": [3]}, "--lr_decay_epochs says nothing with --schedule"),
        ({"schedule": "cosine", "lr_decay_epochs": []}, "--lr_decay_epochs says nothing with --schedule"),
        ({"epochs": 5, "warmup_epochs": 5}, "--warmup_epochs 5 takes up all 5 epochs of --epochs"),
    ],
)
def test_what_does_not_go_together_is_refused(asked, line):
    with pytest.raises(UserError, match=line):
        Recipe(**asked)
