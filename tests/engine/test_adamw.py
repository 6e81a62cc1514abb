"""AdamW for students: it is torch's, its decay spares norms and biases, and a student stays one thing."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.optimizer import Recipe, load_optimizer, make_optimizer, set_learning_rates
from engine.step import Step
from helper.recipe import published_rate
from modreduce.build import build_group, plan_students
from tests.modreduce.groups import CPU, RECIPE, built, group_of, plans_of, settings_of

ADAMW = Recipe(epochs=4, optimizer="adamw", weight_decay=0.05, schedule="cosine", warmup_epochs=1)


def pair(data, online: str = "wavg"):
    """A group of two students with AdamW's rates, which train."""
    return built(plans_of(["kd", "crd"]), online, data, settings_of(ADAMW)).train()


def weights(module) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_it_is_torch_s_with_two_groups_in_a_plain_loop(data, batch):
    """To the bit: a student alone, by cross-entropy, over the four epochs of a schedule."""
    settings = settings_of(ADAMW)
    plans = plan_students([], ["resnet8"], "", settings.options)
    group = build_group(plans, None, "none", data, settings, CPU, "fp32").train()
    network = copy.deepcopy(group.students[0].network)
    step = Step(group, make_optimizer(group, ADAMW))
    filters = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    spared = [m.bias for m in filters if m.bias is not None] + [p for m in norms for p in m.parameters()]
    groups = [{"params": [m.weight for m in filters]}, {"params": spared, "weight_decay": 0.0}]
    plain = torch.optim.AdamW(groups, weight_decay=0.05, fused=True)
    for epoch, rate in enumerate((1e-3, 1e-3, 0.75e-3, 0.25e-3)):
        assert set_learning_rates(step.optimizer, ADAMW, epoch) == pytest.approx({"peer": rate})
        for own, theirs in zip(step.optimizer.param_groups, plain.param_groups, strict=True):
            theirs["lr"] = own["lr"]
        step(batch)
        plain.zero_grad()
        F.cross_entropy(network(batch.images), batch.labels).backward()
        plain.step()
        assert torch.equal(weights(group.students[0].network), weights(network)), epoch


def test_the_decay_is_on_matrices_and_filters_only_and_apart_from_the_gradient(data):
    group = pair(data)
    before = {name: value.detach().clone() for name, value in group.named_parameters()}
    optimizer = make_optimizer(group, ADAMW)
    set_learning_rates(optimizer, ADAMW, 1)
    for parameter in group.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    for name, value in group.named_parameters():
        decayed = before[name] * (1 - 1e-3 * 0.05) if value.dim() > 1 else before[name]
        torch.testing.assert_close(value.detach(), decayed, rtol=1e-6, atol=0.0)
    kinds = {value.dim() for value in before.values()}
    assert min(kinds) == 1 and max(kinds) == 4


@pytest.mark.parametrize("online", ["wavg", "one"])
def test_a_student_is_one_thing_by_its_name_and_everything_is_trained_once(online, data):
    group = pair(data, online)
    optimizer = make_optimizer(group, ADAMW)
    usual = make_optimizer(group, RECIPE).param_groups
    found: dict[str, set[int]] = {}
    for part in optimizer.param_groups:
        own = found.setdefault(part["name"], set())
        assert own.isdisjoint(map(id, part["params"])) and part["params"]
        own |= set(map(id, part["params"]))
    assert found == {part["name"]: set(map(id, part["params"])) for part in usual}
    assert set_learning_rates(optimizer, ADAMW, 3) == pytest.approx(
        {"kd": 0.25e-3, "crd": 0.25e-3, "ensemble": 0.1}
    )


@pytest.mark.parametrize("recipe", [ADAMW, RECIPE], ids=["adamw", "sgd"])
def test_clipping_holds_the_norm_of_a_whole_student(recipe, data, batch):
    group = pair(data)
    optimizer = make_optimizer(group, recipe)
    optimizer.step = lambda: None
    Step(group, optimizer)(batch)
    whole = {student.name: student.trained_parameters() for student in group.students}
    free = {name: [p.grad.clone() for p in own] for name, own in whole.items()}
    group = pair(data)
    optimizer = make_optimizer(group, recipe)
    optimizer.step = lambda: None
    Step(group, optimizer, clip_grad=0.01)(batch)
    for student in group.students:
        norm = torch.nn.utils.get_total_norm(free[student.name])
        assert norm > 0.01
        for parameter, gradient in zip(student.trained_parameters(), free[student.name], strict=True):
            torch.testing.assert_close(parameter.grad, gradient * (0.01 / norm), rtol=1e-4, atol=1e-9)


def test_a_restored_optimizer_goes_on_to_the_same_bits(data, batch):
    group = pair(data)
    step = Step(group, make_optimizer(group, ADAMW))
    set_learning_rates(step.optimizer, ADAMW, 0)
    step(batch)
    other = copy.deepcopy(group)
    again = Step(other, make_optimizer(other, ADAMW))
    load_optimizer(again.optimizer, copy.deepcopy(step.optimizer.state_dict()))
    for one in (step, again):
        set_learning_rates(one.optimizer, ADAMW, 2)
        one(batch)
    assert torch.equal(weights(group), weights(other))


def test_rates_on_the_device_are_numbers_and_so_they_stay_when_restored(data, batch):
    """What a CUDA graph needs, here on a CPU: rates and counts of steps are tensors."""
    left = []
    for capturable in (False, True):
        group = pair(data)
        step = Step(group, make_optimizer(group, ADAMW, capturable))
        for epoch in (0, 2):
            set_learning_rates(step.optimizer, ADAMW, epoch)
            step(batch)
            load_optimizer(step.optimizer, copy.deepcopy(step.optimizer.state_dict()))
        parts = step.optimizer.param_groups
        assert {isinstance(part["lr"], torch.Tensor) for part in parts} == {capturable}
        assert {part["capturable"] for part in parts} == {capturable}
        assert all(isinstance(state["step"], torch.Tensor) for state in step.optimizer.state.values())
        left.append(weights(group))
    torch.testing.assert_close(*left)


def test_the_usual_rate_is_one_for_all_networks():
    assert [published_rate(name, "adamw") for name in ("resnet8", "ShuffleV1")] == [1e-3, 1e-3]
    assert [Recipe(optimizer="adamw").rate_of(name) for name in ("resnet8", "ShuffleV1")] == [1e-3, 1e-3]
    assert Recipe(optimizer="adamw", learning_rate=0.5).rate_of("resnet8") == 0.5
    for optimizer in ("sgd", "dot"):
        rates = [Recipe(optimizer=optimizer).rate_of(name) for name in ("resnet8", "ShuffleV1")]
        assert rates == [0.05, 0.01]


def test_sgd_has_the_groups_that_it_had(data):
    group = group_of(["kd", "crd"], "wavg", data)
    optimizer = make_optimizer(group, RECIPE)
    assert [part["name"] for part in optimizer.param_groups] == ["kd", "crd", "ensemble"]
    assert {part["weight_decay"] for part in optimizer.param_groups} == {5e-4}
    assert {part["momentum"] for part in optimizer.param_groups} == {0.9}
