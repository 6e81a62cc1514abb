"""A network of other code as one of the project's: the same logits, its own weights, nothing left behind."""

import copy

import pytest
import torch
from torch import nn

from helper.errors import UserError
from models import build_network
from models.last_map import find_averaged_map
from models.tapped import Tapped, bare, said_of, tapped
from tests.models.materials import images

NAMES = ("torchvision:resnet18", "torchvision:mobilenet_v3_small", "timm:test_vit")
every_one = pytest.mark.parametrize("name", NAMES)


def build(name: str) -> Tapped:
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    torch.manual_seed(1)
    return build_network(name, 10)


@pytest.mark.parametrize("name", [*NAMES, "torchvision:vgg11"])
def test_logits_are_the_bare_network_s(name):
    network, x = build(name), images(4)
    for training in (False, True):
        network.train(training)
        torch.manual_seed(2)
        expected = copy.deepcopy(bare(network))(x)
        torch.manual_seed(2)
        assert torch.equal(network.outputs(x).logits, expected)
    network.eval()
    features, logits = network(x, is_feat=True)
    assert torch.equal(network(x), logits) and torch.equal(logits, bare(network)(x))
    assert features[-1].ndim == 2 and all(m.ndim == 4 for m in features[:-1]) and len(features) == 6


@every_one
def test_weights_have_the_names_of_their_own_code(name):
    network = build(name)
    state = network.state_dict()
    inside = network.network.state_dict()
    assert list(state) == list(inside) and all(state[key] is not None for key in inside)
    holder = nn.ModuleDict({"network": network})
    assert list(holder.state_dict()) == [f"network.{key}" for key in inside]
    average = torch.optim.swa_utils.AveragedModel(network)
    assert set(average.state_dict()) == {"n_averaged", *(f"module.{key}" for key in inside)}
    other = build_network(name, 10)
    other.load_state_dict(state)
    nn.ModuleDict({"network": other}).load_state_dict(holder.state_dict())
    average.module.load_state_dict(state)
    assert all(torch.equal(other.state_dict()[key], value) for key, value in inside.items())
    lacking = dict(list(state.items())[1:])
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(lacking)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        other.load_state_dict({**state, "further.weight": torch.zeros(1)})


@every_one
def test_a_copy_keeps_what_it_sees_to_itself(name):
    network, x = build(name).eval(), images(2)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    before = network.outputs(x)
    network.kept = {"mark": x}
    changed = twin.outputs(x)
    assert network.kept == {"mark": x}
    expected = copy.deepcopy(twin).outputs(x)
    assert all(torch.equal(a, b) for a, b in zip(changed.features, expected.features, strict=True))
    assert not torch.equal(before.maps[0], changed.maps[0])


@every_one
def test_gradients_reach_everything_and_hooks_leave_nothing(name):
    network = build(name).train()
    output = network.outputs(images(4))
    assert network.kept == {} and not network.listening
    (output.logits.square().mean() + sum(m.square().mean() for m in output.maps)).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []
    network(images(4))
    assert network.kept == {}
    with pytest.raises(RuntimeError, match="channels"):
        network.outputs(torch.zeros(2, 5, 32, 32))
    assert network.kept == {} and not network.listening


def test_maps_are_those_that_the_modules_gave():
    network, x = build("torchvision:resnet18").eval(), images(2)
    inside = network.network
    m = inside.maxpool(inside.relu(inside.bn1(inside.conv1(x))))
    for stage, ours in zip(("layer1", "layer2", "layer3", "layer4"), network.outputs(x).maps, strict=True):
        m = getattr(inside, stage)(m)
        assert torch.equal(m, ours)
    output = network.outputs(x)
    assert torch.allclose(find_averaged_map(output)(output).mean((2, 3)), output.embedding)
    assert torch.equal(network.classifier(output.embedding), output.logits)


def test_what_a_network_lacks_is_said():
    network = build_network("torchvision:squeezenet1_1", 10).eval()
    with pytest.raises(UserError, match="squeezenet1_1 has no linear layer that gives its logits"):
        network.classifier  # noqa: B018
    output = network.outputs(images(2, 64))
    assert torch.allclose(output.embedding, output.maps[-1].mean((2, 3)))
    assert "it has no linear classifier, so its embedding is the mean of the last map" in said_of(network)
    with pytest.raises(UserError, match="gives no maps before their ReLU"):
        network(images(2), is_feat=True, preact=True)
    assert output.preact == [] and said_of(build_network("resnet8", 10)) is None


def test_compiled_as_one_graph_the_outputs_are_the_same():
    inside = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    network, x = tapped(inside, "net.py:small", 32).eval(), images(2)
    expected, names = network.outputs(x), list(network.state_dict())
    network.outputs = torch.compile(network.outputs, backend="eager", fullgraph=True)
    network.compile(backend="eager", fullgraph=True)
    found = network.outputs(x)
    assert all(torch.equal(a, b) for a, b in zip(found.features, expected.features, strict=True))
    assert torch.equal(network(x), expected.logits) and list(network.state_dict()) == names
