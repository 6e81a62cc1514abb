"""Every network: published keys and shapes, golden outputs, features fit for losses, both sizes of images."""

import copy
import json
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from models import model_dict
from models.common import channel_shuffle
from models.resnet import ResNet
from models.resnet_wide_stem import Bottleneck, WideStemResNet
from models.wrn import WideResNet
from tests.golden.formula import fill, tensor

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "models.json").read_text())
WITH_OUTPUTS = [name for name, golden in GOLDEN.items() if "logits" in golden]
# Every family once; of the wide stem both kinds of block. vgg11 has a ReLU inside its blocks, vgg8 none.
SMALL = ("resnet8", "ResNet18", "wrn_16_1", "vgg11", "MobileNetV2", "ShuffleV1", "ShuffleV2")
BUILD = {**model_dict, "ResNet14": partial(WideStemResNet, block=Bottleneck, blocks=(1, 1, 1, 1))}

every_network = pytest.mark.parametrize("name", model_dict)
small_networks = pytest.mark.parametrize("name", [*SMALL, "ResNet14"])
published_networks = pytest.mark.parametrize("name", GOLDEN)


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


@cache
def untouched(name: str) -> nn.Module:
    """The network in eval mode, built once: for tests of keys and shapes, which leave it as it is."""
    return model_dict[name]().eval()


def used_to_its_input(name: str, **settings) -> nn.Module:
    """The network in eval mode, with BN statistics of the images, so that no depth lets values run away."""
    network = BUILD[name](**settings)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images(8))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def images(count: int = 2, size: int = 32) -> Tensor:
    return tensor("input", (count, 3, size, size))


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


@published_networks
def test_shapes_of_features(name):
    with torch.no_grad():
        features, _ = untouched(name)(images(4), is_feat=True)
    assert [list(feature.shape) for feature in features] == GOLDEN[name]["feature_shapes"]


@every_network
def test_larger_images_give_larger_maps_and_the_same_embedding(name):
    with torch.no_grad():
        small, _ = untouched(name)(images(1), is_feat=True)
        large, logits = untouched(name)(images(1, size=64), is_feat=True)
    assert logits.shape == (1, 100)
    assert large[-1].shape == small[-1].shape
    last_map_of_vgg = len(small) - 2 if name.startswith("vgg") else None
    for position, (a, b) in enumerate(zip(small[:-1], large[:-1], strict=True)):
        factor = 1 if position == last_map_of_vgg else 2
        assert b.shape == (*a.shape[:2], factor * a.shape[2], factor * a.shape[3])


@pytest.mark.parametrize("name", SMALL)
def test_number_of_classes_changes_the_classifier_alone(name):
    state, other = model_dict[name](num_classes=7).state_dict(), untouched(name).state_dict()
    changed = [key for key, value in state.items() if value.shape != other[key].shape]
    assert changed == list(other)[-2:]


@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_outputs_are_the_published_ones(name):
    golden = GOLDEN[name]
    network = fill(model_dict[name]()).eval()
    with torch.no_grad():
        features, logits = network(images(4), is_feat=True)
        plain = network(images(4))
    expected = torch.tensor(golden["logits"])
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert torch.equal(plain, logits)
    for feature, mean, deviation in zip(features, golden["feature_mean"], golden["feature_std"], strict=True):
        scale = max(abs(mean), deviation)
        assert feature.double().mean().item() == pytest.approx(mean, abs=1e-5 * scale)
        assert feature.double().std().item() == pytest.approx(deviation, abs=1e-5 * scale)


@every_network
def test_gradients_of_logits_of_any_number_of_classes_reach_every_parameter(name):
    network = used_to_its_input(name, num_classes=7)
    features, logits = network(images(), is_feat=True)
    assert logits.shape == (2, 7)
    logits.square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all() and parameter.grad.any(), key
    assert all(feature.requires_grad for feature in features)


class OutOfPlace(TorchFunctionMode):
    """Turns the operations that overwrite their input into ones that don't."""

    def __init__(self):
        super().__init__()
        self.replaced = 0

    def __torch_function__(self, function, types, arguments=(), settings=None):
        settings = dict(settings or {})
        if settings.get("inplace"):
            settings["inplace"] = False
            self.replaced += 1
        if function is Tensor.__iadd__:
            function = Tensor.__add__
            self.replaced += 1
        return function(*arguments, **settings)


@small_networks
@pytest.mark.parametrize("preact", [False, True])
def test_later_layers_leave_features_as_they_were(name, preact):
    network = used_to_its_input(name)
    features, logits = network(images(), is_feat=True, preact=preact)
    with OutOfPlace() as mode:
        untouched, reference = network(images(), is_feat=True, preact=preact)
    assert mode.replaced > 0
    assert torch.equal(logits, reference)
    for feature, expected in zip(features, untouched, strict=True):
        assert torch.equal(feature, expected)
    sum(feature.square().sum() for feature in features).backward()


@small_networks
def test_preact_gives_the_stage_maps_before_the_relu(name):
    network = used_to_its_input(name)
    with torch.no_grad():
        after, logits = network(images(), is_feat=True)
        before, same_logits = network(images(), is_feat=True, preact=True)
    assert torch.equal(logits, same_logits)
    assert torch.equal(before[0], after[0]) and torch.equal(before[-1], after[-1])
    stages = list(zip(before[1:-1], after[1:-1], strict=True))
    if name == "MobileNetV2":
        assert all(torch.equal(a, b) for a, b in stages)
    elif name.startswith("wrn"):
        norms = (network.block2.layer[0].bn1, network.block3.layer[0].bn1, network.bn1)
        for norm, (a, b) in zip(norms, stages, strict=True):
            assert torch.equal(a, norm(b))
    else:
        for a, b in stages:
            assert a.min() < 0
            assert torch.equal(F.relu(a), b)


@small_networks
def test_collecting_features_counts_the_batch_once(name):
    plain = BUILD[name]().train()
    collecting = copy.deepcopy(plain)
    expected = plain(images())
    _, logits = collecting(images(), is_feat=True, preact=True)
    assert torch.equal(logits, expected)
    for key, value in collecting.state_dict().items():
        assert torch.equal(value, plain.state_dict()[key]), key
        if key.endswith("num_batches_tracked"):
            assert value == 1, key


@small_networks
def test_channels_last_stays_and_changes_no_value(name):
    network = used_to_its_input(name)
    with torch.no_grad():
        expected, expected_logits = network(images(), is_feat=True)
        network = network.to(memory_format=torch.channels_last)
        features, logits = network(images().contiguous(memory_format=torch.channels_last), is_feat=True)
    for feature in features[:-1]:
        assert feature.is_contiguous(memory_format=torch.channels_last)
    for value, reference in zip([*features, logits], [*expected, expected_logits], strict=True):
        assert (value - reference).abs().max() < 1e-4 * reference.abs().max()


@small_networks
def test_every_map_is_in_half_precision_under_autocast(name):
    network = used_to_its_input(name)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features, logits = network(images(), is_feat=True)
    for value in [*features, logits]:
        assert value.dtype == torch.bfloat16
        assert value.isfinite().all()


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1"])
def test_forward_is_one_graph(name):
    torch._dynamo.reset()
    network = used_to_its_input(name)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    features, logits = compiled(images(), is_feat=True, preact=True)
    expected, expected_logits = network(images(), is_feat=True, preact=True)
    assert torch.equal(logits, expected_logits)
    assert all(torch.equal(a, b) for a, b in zip(features, expected, strict=True))
    torch._dynamo.reset()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_channel_shuffle_interleaves_groups(memory_format):
    x = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 3, 4).contiguous(memory_format=memory_format)
    assert channel_shuffle(x, 2)[0, :, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]
    assert channel_shuffle(x, 3)[1, :, 2, 3].tolist() == [0, 2, 4, 1, 3, 5]
    assert channel_shuffle(x, 3).is_contiguous(memory_format=memory_format)


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
