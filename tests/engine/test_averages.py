"""Moving averages of the students' weights: against a computation by hand, and what they leave alone."""

from dataclasses import replace

import pytest
import torch

from engine.averages import ExponentialAverages
from engine.optimizer import make_optimizer
from engine.step import Step
from engine.task import PRETRAINING, TRAINING
from tests.modreduce.groups import RECIPE, built, group_of, plans_of, settings_of

DECAY = 0.2  # reached at the second step: (1 + 0) / (10 + 0) is below it, and (1 + 2) / (10 + 2) above


def averaging(methods, online, data, decay=DECAY):
    return built(plans_of(methods), online, data, settings_of(replace(RECIPE, ema=decay)))


@pytest.mark.parametrize("decay", [DECAY, 0.999])
def test_an_average_follows_its_student_as_computed_by_hand(decay, data, batch):
    group = averaging(["kd", "at"], "wavg", data, decay)
    step = Step(group.train(), make_optimizer(group, RECIPE))
    group.begin_epoch(0, 10)
    expected = [{k: v.double() for k, v in s.network.state_dict().items()} for s in group.students]
    for t in range(4):
        step(batch)
        d = min(decay, (1 + t) / (10 + t))
        for average, student in zip(expected, group.students, strict=True):
            for key, value in student.network.state_dict().items():
                whole = not value.is_floating_point()
                average[key] = value if whole else d * average[key] + (1 - d) * value.double()
    for name, average in zip(group.names, expected, strict=True):
        for key, value in group.averaged[name].state_dict().items():
            torch.testing.assert_close(value.double(), average[key].double(), rtol=1e-5, atol=1e-6)
    assert int(group.averaged["kd"].bn1.num_batches_tracked) == 4


def test_what_it_says_is_what_the_averaged_weights_say(data, batch):
    group = averaging(["kd", "at"], "pcl", data)
    step = Step(group.train(), make_optimizer(group, RECIPE))
    step(batch)
    group.eval()
    said, _ = group.averaged_logits(batch.images)
    plain, _ = group.predict(batch.images)
    assert said.keys() == {"kd", "at"} and not torch.equal(said["kd"], plain["kd"])
    group.students[0].network.load_state_dict(group.averaged["kd"].state_dict())
    torch.testing.assert_close(said["kd"], group.predict(batch.images)[0]["kd"])


def test_what_is_not_trained_stays_the_same_bits(data, batch):
    """A thousand roundings would carry a plain weighted sum away from a weight that never moves."""
    network = torch.nn.Linear(50, 50)
    averages = ExponentialAverages([network], 0.9999)
    for _ in range(1000):
        averages.follow([network])
    assert torch.equal(averages[0].weight, network.weight)


def test_averages_change_nothing_of_the_students_and_are_in_no_state_unasked(data, batch):
    plain, group = group_of(["kd", "crd"], "wavg", data), averaging(["kd", "crd"], "wavg", data)
    for one in (plain, group):
        step = Step(one.train(), make_optimizer(one, RECIPE))
        step(batch), step(batch)
    with_averages, without = group.state_dict(), plain.state_dict()
    assert all(torch.equal(with_averages[key], value) for key, value in without.items())
    assert {key.split(".")[0] for key in with_averages.keys() - without.keys()} == {"averages"}
    assert not plain.averaged and not any(p.requires_grad for p in group.averages.parameters())
    assert all(not module.training for module in group.averages.modules())


def test_they_begin_with_what_a_first_stage_leaves(data, batch):
    group = averaging(["ft", "kd"], "none", data)
    group.begin_stage(PRETRAINING)
    group.begin_epoch(-1, 10)
    step = Step(group.train(), make_optimizer(group, RECIPE))
    step(batch)
    with torch.no_grad():
        group.students[0].network.conv1.weight.add_(1.0)
    group.begin_stage(TRAINING)
    ours, theirs = group.averaged["ft"].state_dict(), group.students[0].network.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs) and group.averages.steps == 0
