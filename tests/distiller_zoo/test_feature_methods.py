"""What holds for each feature method of 2021 to 2025, on real networks: the contract, steps without waits."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

import helper.arguments
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, Example, LossWeights
from helper.batch import Batch, Output
from helper.signature import parameters_of
from models import build_network, is_network

NAMES = ("reviewkd", "srrl", "ickd", "norm", "srd", "wkd", "mrd")
PAIRS = (
    ("resnet8", "wrn_16_1"),
    ("MobileNetV2", "vgg8"),
    ("ShuffleV2", "resnet8x4"),
    ("wrn_16_1", "resnet8"),
)
CLASSES, SIZE = 10, 4
IMAGES = torch.randn(SIZE, 3, 32, 32, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, torch.tensor([0, 1, 2, 1]), torch.arange(SIZE))


@cache
def teacher_of(name: str) -> tuple[nn.Module, Output]:
    torch.manual_seed(1)
    network = build_network(name, CLASSES).eval().requires_grad_(False)
    return network, network.outputs(IMAGES)


def built(name: str, student: str, teacher: str) -> tuple[Distiller, nn.Module, Output]:
    """The method, the student's network and the teacher's Output."""
    torch.manual_seed(2)
    kind, (network_t, output_t) = distiller_dict[name], teacher_of(teacher)
    network = kind.network(build_network(student, CLASSES), network_t, CLASSES)
    with torch.no_grad():
        output = network.eval().outputs(IMAGES)
    labels = torch.arange(100) % CLASSES
    example = Example(
        output, output_t, labels, SIZE, CLASSES, 1, network.train(), network_t, student, teacher
    )
    return kind(example), network, output_t


def total(method: Distiller, student: Output, teacher: Output) -> Tensor:
    terms = method(student, teacher, BATCH)
    values = list(terms.values()) if isinstance(terms, dict) else [terms]
    assert all(value.shape == () and value.dtype == torch.float32 for value in values)
    return torch.stack(values).sum()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_trained_layer_gets_a_finite_gradient(name, pair):
    method, network, teacher = built(name, *pair)
    method.begin_epoch(30, 240)
    loss = total(method, network.outputs(IMAGES), teacher)
    loss.backward()
    gradients = {key: p.grad for key, p in method.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    reached = [p.grad for p in network.parameters() if p.grad is not None]
    assert reached and all(g.isfinite().all() for g in reached)
    assert all(p.grad is None for p in teacher_of(pair[1])[0].parameters())


@pytest.mark.parametrize("name", NAMES)
def test_bf16_networks_give_nearly_the_same(name):
    method, network, teacher = built(name, *PAIRS[0])
    plain = total(method, network.outputs(IMAGES), teacher)
    with torch.autocast("cpu", torch.bfloat16):
        low = network.outputs(IMAGES)
    assert low.maps[-1].dtype == torch.bfloat16
    near = total(method, low._replace(logits=low.logits.float()), teacher)
    torch.testing.assert_close(near, plain, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_never_asks_for_a_value(name):
    """Tensors that have shapes but no values: whatever waits for a number from the device fails."""
    method, network, teacher = built(name, *PAIRS[0])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        student, output_t = tree_map(
            lambda x: mode.from_tensor(x) if isinstance(x, Tensor) else x,
            (network.outputs(IMAGES).detach(), teacher),
        )
        assert total(method, student, output_t).shape == ()


@pytest.mark.parametrize("name", NAMES)
def test_flags_and_weights_of_any_pair(name):
    kind, checks = distiller_dict[name], vars(helper.arguments)
    assert parameters_of(f"{kind.__module__}:{kind.__name__}", checks) == parameters_of(kind, checks)
    for pair in (("resnet8x4", "resnet32x4"), ("resnet8", "vgg19")):
        weights = kind.weights_for(*pair)
        assert isinstance(weights, LossWeights) and sum(weights) > 0
        z = torch.randn(4, CLASSES)
        assert kind.kd_loss(*pair)(z, z).isfinite()
        assert is_network(kind.network_name(*pair))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_loaded(name):
    (method, network, teacher), (other, *_) = (built(name, *PAIRS[1]) for _ in range(2))
    for parameter in other.parameters():
        nn.init.ones_(parameter)
    other.load_state_dict(method.state_dict(), strict=True)
    student = network.outputs(IMAGES)
    for each in (method, other):
        each.begin_epoch(200, 240)
    assert torch.equal(total(method, student, teacher), total(other, student, teacher))


def test_norms_network_is_built_by_its_name():
    _, network, _ = built("norm", "resnet8", "wrn_16_1")
    name = distiller_dict["norm"].network_name("resnet8", "wrn_16_1")
    again = build_network(name, CLASSES)
    again.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(again.eval()(IMAGES), network.eval()(IMAGES))
