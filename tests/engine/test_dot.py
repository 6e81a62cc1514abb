"""DOT: what it does beside SGD, its state, rates on the device."""

import copy

import pytest
import torch
from torch import nn

from engine.dot import DOT


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
