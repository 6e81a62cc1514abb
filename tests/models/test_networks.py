"""Networks by name: published keys and shapes, parameters, how they start, what they name of themselves."""

import pytest
import torch
from torch import nn

from helper.errors import UserError
from models import build_network, model_dict
from models.resnet import ResNet
from models.wrn import WideResNet
from tests.models.materials import (
    GOLDEN,
    SMALL,
    images,
    published_networks,
    small_networks,
    untouched,
    used_to_its_input,
)


def test_zoo_holds_the_published_networks_and_two_more():
    assert set(model_dict) == {*GOLDEN, "ResNet18", "ResNet34"}


@published_networks
def test_keys_and_shapes_are_the_published_ones_in_their_order(name):
    state = {key: list(value.shape) for key, value in untouched(name).state_dict().items()}
    assert list(state.items()) == list(GOLDEN[name]["state"].items())


@published_networks
def test_number_of_parameters(name):
    parameters = untouched(name).parameters()
    assert sum(parameter.numel() for parameter in parameters) == GOLDEN[name]["parameters"]


@pytest.mark.parametrize(("name", "millions"), [("ResNet18", 11.22), ("ResNet34", 21.33)])
def test_number_of_parameters_of_the_basic_wide_stem_networks(name, millions):
    parameters = untouched(name).parameters()
    assert sum(parameter.numel() for parameter in parameters) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("name", ["ResNet18", "ResNet34"])
def test_basic_wide_stem_networks_name_their_parts_as_resnet50_does(name):
    def tops(key_of):
        return {key.split(".")[0] for key in untouched(key_of).state_dict()}

    assert tops(name) == tops("ResNet50")
    assert "layer2.0.shortcut.0.weight" in untouched(name).state_dict()


@pytest.mark.parametrize("name", SMALL)
def test_number_of_classes_changes_the_classifier_alone(name):
    state, other = model_dict[name](num_classes=7).state_dict(), untouched(name).state_dict()
    changed = [key for key, value in state.items() if value.shape != other[key].shape]
    assert changed == list(other)[-2:]


@pytest.mark.parametrize("name", ["resnet8x4", "ResNet18", "wrn_16_2", "vgg8", "MobileNetV2"])
def test_convolutions_start_from_he_fan_out(name):
    torch.manual_seed(0)
    for module in model_dict[name]().modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 2000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            assert not module.bias.any()


@pytest.mark.parametrize("name", ["vgg8", "MobileNetV2"])
def test_classifiers_that_start_small(name):
    weight, bias = list(model_dict[name]().parameters())[-2:]
    assert weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not bias.any()


def test_impossible_depths_are_refused():
    with pytest.raises(ValueError, match=r"21.*6n \+ 2"):
        ResNet(depth=21)
    with pytest.raises(ValueError, match=r"2.*6n \+ 2"):
        ResNet(depth=2)
    with pytest.raises(ValueError, match=r"17.*6n \+ 4"):
        WideResNet(depth=17, widening=1)


def test_an_unknown_network_is_answered_with_the_known_ones():
    for name in ("resnet9", "reused/resnet8", "reused/resnet8/resnet9", "module:Class", ""):
        with pytest.raises(UserError, match=r"unknown network .*; the networks are resnet8, .*ShuffleV2"):
            build_network(name, 10)


@small_networks
def test_every_network_names_its_classifier(name):
    network = used_to_its_input(name, num_classes=7)
    output = network.outputs(images())
    assert isinstance(network.classifier, nn.Linear) and network.classifier.out_features == 7
    assert torch.equal(network.classifier(output.embedding), output.logits)


@small_networks
def test_batch_norms_before_the_last_relus(name):
    """One per stage, with the map's channels; their outputs are the maps, but for what a shortcut adds."""
    network = used_to_its_input(name)
    if name == "ShuffleV2":
        with pytest.raises(UserError, match=r"ShuffleV2 has no batch norm .*: use another"):
            network.norms_before_relu()
        return
    seen = {}
    for norm in network.norms_before_relu():
        norm.register_forward_hook(lambda module, _, output: seen.update({module: output.clone()}))
    output = network.outputs(images())
    assert [seen[norm].shape for norm in network.norms_before_relu()] == [m.shape for m in output.preact]
    if name.startswith(("vgg", "wrn")):  # the others have shortcuts
        assert all(torch.equal(seen[norm], m) for norm, m in zip(seen, output.preact, strict=True))
