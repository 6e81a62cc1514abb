"""DOT: what it does beside SGD, its state, rates on the device."""

import copy

import pytest
import torch
from torch import nn

from engine.dot import DOT
from engine.optimizer import Recipe, make_optimizer
from engine.step import Step
from helper.errors import UserError
from tests.modreduce.groups import RECIPE, group_of


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def take_step(net: nn.Module, optimizer: DOT, number: int, kept: bool = True) -> None:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
    out = net(x)
    if kept:
        out.square().mean().backward(retain_graph=True)
        optimizer.keep_distillation()
    out.abs().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def weights(net: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(net.parameters()).detach().clone()


def test_without_delta_it_is_sgd_on_the_sum():
    net, twin = network(), network()
    optimizer = DOT(net.parameters(), 0.1, delta=0.0, weight_decay=1e-2)
    plain = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    for number in range(4):
        take_step(net, optimizer, number)
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
        out = twin(x)
        (out.square().mean() + out.abs().mean()).backward()
        plain.step()
        plain.zero_grad()
    torch.testing.assert_close(weights(net), weights(twin))


def test_without_distillation_it_is_sgd():
    net, twin = network(), network()
    optimizer = DOT(net.parameters(), 0.1, weight_decay=1e-2)
    plain = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    for number in range(3):
        take_step(net, optimizer, number, kept=False)
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
        twin(x).abs().mean().backward()
        plain.step()
        plain.zero_grad()
    torch.testing.assert_close(weights(net), weights(twin))


def test_delta_weighs_distillations_past_more():
    moved = []
    for delta in (0.0, 0.075):
        weight = nn.Parameter(torch.zeros(1))
        optimizer = DOT([weight], 1.0, delta=delta)
        for gradient in (1.0, 0.0):
            weight.grad = torch.tensor([gradient])
            optimizer.keep_distillation()
            weight.grad = torch.zeros(1)
            optimizer.step()
        moved.append(float(-weight.detach()))
    assert moved == pytest.approx([1.9, 1.975])


def test_a_restored_optimizer_goes_on_the_same_way():
    net = network()
    optimizer = DOT(net.parameters(), 0.1, weight_decay=1e-2)
    take_step(net, optimizer, 0)
    other = copy.deepcopy(net)
    again = DOT(other.parameters(), 0.1, weight_decay=1e-2)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in (1, 2):
        take_step(net, optimizer, number)
        take_step(other, again, number)
    assert torch.equal(weights(net), weights(other))
    assert copy.deepcopy(again).keep_distillation() is None


def test_a_rate_on_the_device_is_a_number():
    net, twin = network(), network()
    one, other = DOT(net.parameters(), 0.1), DOT(twin.parameters(), torch.tensor(0.1))
    for number in range(2):
        take_step(net, one, number)
        take_step(twin, other, number)
    torch.testing.assert_close(weights(net), weights(twin))


def test_groups_have_rates_of_their_own():
    net = network()
    optimizer = DOT([{"params": net[0].parameters(), "lr": 0.0}, {"params": net[2].parameters()}], 0.1)
    before = net[0].weight.detach().clone(), net[2].weight.detach().clone()
    take_step(net, optimizer, 0)
    assert torch.equal(net[0].weight, before[0]) and not torch.equal(net[2].weight, before[1])


@pytest.mark.parametrize(("momentum", "delta"), [(0.95, 0.075), (0.05, 0.075), (0.9, -0.1)])
def test_momenta_out_of_range_are_refused(momentum, delta):
    with pytest.raises(ValueError, match="momentum - delta"):
        DOT(network().parameters(), 0.1, momentum=momentum, delta=delta)


def test_clipping_holds_the_norm_of_both_gradients_together():
    net, twin = network(), network()
    optimizer, plain = DOT(net.parameters(), 0.1, delta=0.0), torch.optim.SGD(twin.parameters(), 0.1)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    out = net(x)
    out.square().mean().backward(retain_graph=True)
    optimizer.keep_distillation()
    out.abs().mean().backward()
    optimizer.clip(0.01)
    optimizer.step()
    (twin(x).square().mean() + twin(x).abs().mean()).backward()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01)
    plain.step()
    torch.testing.assert_close(weights(net), weights(twin))


@pytest.mark.parametrize("clip_grad", [0.0, 0.5])
@pytest.mark.parametrize("online", ["wavg", "none", "pcl"])
def test_a_step_without_delta_is_that_of_sgd(data, batch, online, clip_grad):
    """Two passes over the graph add up to one, for every trained part, the ensemble's too."""
    left = []
    for optimizer in ("sgd", "dot"):
        group = group_of(["kd", "crd"], online, data).train()
        recipe = Recipe(
            learning_rate=RECIPE.learning_rate, optimizer=optimizer, dot_delta=0.0, weight_decay=0.0
        )
        step = Step(group, make_optimizer(group, recipe), clip_grad)
        group.begin_epoch(120, 240)
        for _ in range(2):
            step(batch)
            left.append(torch.cat([p.detach().flatten() for p in group.parameters()]))
    for sgd, dot, rounding in zip(left[:2], left[2:], (1e-5, 1e-3), strict=True):
        torch.testing.assert_close(dot, sgd, rtol=1e-4, atol=rounding)


def test_what_is_put_aside_is_the_gradient_of_all_but_cross_entropy(data, batch):
    """Of KD with the published weights 0.1 and 0.9, and of what a student's network learns from labels."""
    group = group_of(["kd"], "none", data, gamma=0.1, alpha=0.9).train()
    optimizer = make_optimizer(group, Recipe(optimizer="dot", weight_decay=0.0))
    student = group.students[0]
    kept = {}
    optimizer.step = lambda: kept.update(optimizer._kept)
    Step(group, optimizer)(batch)
    found = [(kept[p], p.grad) for p in student.network.parameters()]
    _, terms = student(batch, group.teacher(batch))
    for place, (name, weight) in enumerate((("kd", 0.9), ("ce", 0.1))):
        wanted = torch.autograd.grad(
            student.scale() * weight * terms[name], list(student.network.parameters()), retain_graph=True
        )
        for pair, gradient in zip(found, wanted, strict=True):
            torch.testing.assert_close(pair[place], gradient, rtol=1e-3, atol=1e-6)


def test_a_recipe_with_momenta_out_of_range_is_refused():
    with pytest.raises(UserError, match=r"--momentum 0.95 with --dot_delta 0.075: allowed are"):
        Recipe(optimizer="dot", momentum=0.95)
    assert Recipe(momentum=0.95).optimizer == "sgd"
