"""Twelve networks of torchvision and timm: taught by five methods, their maps, names, graphs and copies."""

import copy

import pytest
import torch

from models import build_network
from models.sources import build_foreign
from models.tapped import bare
from models.taps import BY_TIMM
from tests.modreduce.pairs import group_for, two_steps

OF_TORCHVISION = (
    "torchvision:resnet18",
    "torchvision:mobilenet_v3_small",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:efficientnet_b0",
    "torchvision:regnet_y_400mf",
    "torchvision:swin_t",
)
OF_TIMM = (
    "timm:resnet10t",
    "timm:mobilenetv3_small_050",
    "timm:regnetx_002",
    "timm:vit_tiny_patch16_224",
    "timm:swin_tiny_patch4_window7_224",
    "timm:test_convnext",
)
pytestmark = pytest.mark.slow
every_one = pytest.mark.parametrize("name", [*OF_TORCHVISION, *OF_TIMM])
both_sizes = pytest.mark.parametrize("size", [32, 64])


@pytest.fixture(autouse=True)
def _needs_timm(request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["name"].startswith("timm:"):
        pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")


def noise(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


@every_one
@both_sizes
@pytest.mark.parametrize("method", ["kd", "crd", "rkd", "fitnet", "semckd"])
def test_two_steps_of_a_student(name, size, method):
    assert two_steps(group_for(method, name, "resnet8", size), method, size) == []


@pytest.mark.parametrize("name", OF_TIMM)
@both_sizes
def test_maps_are_timm_s_bit_for_bit(name, size):
    network = build_network(name, 5, size).eval()
    assert network.taps.how == BY_TIMM and network.taps.stages
    with torch.no_grad():
        _, theirs = bare(network).forward_intermediates(noise(size))
        ours = network.outputs(noise(size)).maps
    assert all(any(m.shape == t.shape and torch.equal(m, t) for t in theirs) for m in ours)


@every_one
@both_sizes
def test_names_graphs_and_copies(name, size):
    network, x = build_network(name, 5, size).eval(), noise(size)
    theirs = build_foreign(name, 5, size).state_dict()
    assert list(network.state_dict()) == list(theirs)
    with torch.no_grad():
        expected = network.outputs(x)
        torch._dynamo.reset()
        compiled = torch.compile(network.outputs, backend="eager", fullgraph=True)(x)
        torch._dynamo.reset()
        twin = copy.deepcopy(network)
        for parameter in twin.parameters():
            parameter.mul_(0.5)
        network.kept = {"mark": x}
        changed = twin.outputs(x)
    assert all(torch.equal(a, b) for a, b in zip(compiled.features, expected.features, strict=True))
    assert network.kept == {"mark": x} and twin.kept == {}
    assert not torch.equal(changed.maps[-1], expected.maps[-1])
