"""What networks say of images: golden outputs, features fit for losses, both sizes, one pass."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from models import model_dict
from models.common import channel_shuffle
from tests.golden.formula import fill
from tests.models.materials import (
    BUILD,
    GOLDEN,
    WITH_OUTPUTS,
    every_network,
    images,
    published_networks,
    small_networks,
    untouched,
    used_to_its_input,
)


@published_networks
def test_shapes_of_features(name):
    with torch.no_grad():
        features, _ = untouched(name)(images(4), is_feat=True)
    assert [list(feature.shape) for feature in features] == GOLDEN[name]["feature_shapes"]


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
