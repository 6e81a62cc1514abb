"""Which modules give a network's maps: by hand from the papers, as timm has them, and as the user asks."""

import pytest
import torch
from torch import nn

from helper.errors import UserError
from models.dry_run import as_map, layouts_of, sample
from models.sources import build_foreign
from models.tapped import tapped
from models.taps import BY_RULE, BY_TIMM, BY_USER, choose_taps

# the last module of each resolution, as the papers divide the networks, at 64 x 64
BY_HAND = {
    "torchvision:resnet18": ("layer1", "layer2", "layer3", "layer4"),
    "torchvision:vgg11": ("features.9", "features.14", "features.19", "features"),
    "torchvision:mobilenet_v3_small": ("features.1", "features.3", "features.8", "features"),
    # a whole trunk stands for its last stage where nothing but that stage's norm comes behind it
    "torchvision:densenet121": (*(f"features.denseblock{k}" for k in (1, 2, 3)), "features"),
    "torchvision:efficientnet_b0": ("features.2", "features.3", "features.5", "features"),
    "torchvision:regnet_y_400mf": (*(f"trunk_output.block{k}" for k in (1, 2, 3)), "trunk_output"),
    "torchvision:mnasnet0_5": ("layers.8", "layers.9", "layers.11", "layers"),
    "torchvision:mobilenet_v2": ("features.3", "features.6", "features.13", "features"),
    "torchvision:shufflenet_v2_x0_5": ("conv1", "stage2", "stage3", "conv5"),
    "torchvision:squeezenet1_1": ("features.1", "features.4", "features.7", "features"),
    "torchvision:googlenet": ("conv3", "inception3b", "inception4e", "inception5b"),
    "torchvision:convnext_tiny": ("features.1", "features.3", "features.5", "features"),
    "torchvision:swin_t": ("features.1", "features.3", "features.5", "permute"),
    "torchvision:vit_b_16": tuple(f"encoder.layers.encoder_layer_{k}" for k in (2, 5, 8, 11)),
}
FIRST_THREE = tuple(BY_HAND)[:3]
SMALL_OF_TIMM = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet")


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("size", [64, 96, 224])
def test_the_rule_finds_the_stages_of_twelve_papers_and_more(name, size):
    torch.manual_seed(0)
    taps = choose_taps(build_foreign(name, 10, size), name, size)
    assert tuple(tap.path for tap in taps.stages) == BY_HAND[name] and taps.how == BY_RULE


@pytest.mark.parametrize("name", FIRST_THREE)
def test_the_rule_finds_the_stages_of_the_papers(name):
    torch.manual_seed(0)
    network = build_foreign(name, 10)
    for size in (32, 64):
        taps = choose_taps(network, name, size)
        assert tuple(tap.path for tap in taps.stages) == BY_HAND[name] and taps.how == BY_RULE
        assert {tap.layout for tap in taps.stages} == {"nchw"}


def test_a_network_of_one_size_is_cut_at_even_depths():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.mlp = nn.LayerNorm(16), nn.Linear(16, 16)

        def forward(self, x):
            return x + self.mlp(self.norm(x))

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 16, 8, 8)
            self.blocks = nn.Sequential(*(Block() for _ in range(8)))
            self.head = nn.Linear(16, 10)
            self.token = nn.Parameter(torch.randn(1, 1, 16))

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            x = self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], dim=1))
            return self.head(x[:, 0])

    network = Tokens().eval()
    taps = choose_taps(network, "net.py:tokens", 32)
    assert [str(tap) for tap in taps.stages] == [f"blocks.{k}@tokens:1" for k in (1, 3, 5, 7)]
    images = sample(network, 32)
    output = tapped(network, "net.py:tokens", 32).outputs(images)
    assert [tuple(m.shape) for m in output.maps] == [(2, 16, 4, 4)] * 4
    tokens = network.patch(images).flatten(2).transpose(1, 2)
    tokens = network.blocks[:2](torch.cat([network.token.expand(2, -1, -1), tokens], dim=1))
    assert torch.equal(output.maps[0][:, :, 1, 2], tokens[:, 1 + 4 + 2])


@pytest.mark.parametrize("name", SMALL_OF_TIMM)
def test_timm_s_maps_are_timm_s_bit_for_bit(name):
    pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    torch.manual_seed(0)
    network = build_foreign(f"timm:{name}", 10, 64).eval()
    found = tapped(network, name, 64)
    assert found.taps.how == BY_TIMM and len(found.taps.stages) == 4
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        _, theirs = network.forward_intermediates(images)
        ours = found.outputs(images).maps
    assert all(any(m.shape == t.shape and torch.equal(m, t) for t in theirs) for m in ours)


def test_the_classes_are_not_taken_for_channels():
    """As many classes as a stage has channels: the stage stays."""
    name = "torchvision:resnet18"
    taps = choose_taps(build_foreign(name, 64), name, 32)
    assert [tap.path for tap in taps.stages] == ["layer1", "layer2", "layer3", "layer4"]


def test_the_averaged_map_is_found_where_there_is_one():
    found = {}
    for name in ("torchvision:resnet18", "torchvision:mobilenet_v3_small"):
        found[name] = choose_taps(build_foreign(name, 10), name, 64)
    assert found["torchvision:resnet18"].averaged.path == "layer4"
    assert found["torchvision:resnet18"].classifier == "fc"
    assert found["torchvision:mobilenet_v3_small"].averaged is None
    assert found["torchvision:mobilenet_v3_small"].classifier == "classifier.3"


def test_the_user_s_choice_comes_first_and_is_kept_in_its_order():
    name = "torchvision:resnet18"
    network = build_foreign(name, 10)
    taps = choose_taps(network, name, 32, ["layer3", "layer1.0"])
    assert [str(tap) for tap in taps.stages] == ["layer3@nchw", "layer1.0@nchw"] and taps.how == BY_USER
    assert choose_taps(network, name, 32, taps.names()).stages == taps.stages
    for wrong, said in (("layer9", "no module of that name"), ("fc", "no map there")):
        with pytest.raises(UserError, match=f"--taps_s {wrong}: {name} has {said}; maps are given by conv1"):
            choose_taps(network, name, 32, [wrong], "--taps_s")


def test_choosing_leaves_modes_hooks_statistics_and_random_numbers_alone():
    network = build_foreign("torchvision:mobilenet_v3_small", 10)
    network.features[0].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    torch.manual_seed(5)
    choose_taps(network, "torchvision:mobilenet_v3_small", 32)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert modes == [module.training for module in network.modules()]
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_layouts_of_values():
    assert layouts_of(torch.zeros(2, 8, 4, 4), 2) == ["nchw"]
    assert layouts_of(torch.zeros(2, 4, 4, 8), 2) == ["nhwc"]
    assert layouts_of(torch.zeros(2, 4, 4, 4), 2) == ["nchw", "nhwc"]
    assert layouts_of(torch.zeros(2, 17, 8), 2) == ["tokens:1"]
    assert (
        layouts_of(torch.zeros(2, 8), 2)
        == layouts_of(torch.zeros(1, 8, 4, 4), 2)
        == layouts_of(None, 2)
        == []
    )
    x = torch.arange(2 * 5 * 3.0).reshape(2, 5, 3)
    assert torch.equal(as_map(x, "tokens:1")[1, :, 1, 0], x[1, 3])
    assert torch.equal(as_map(torch.ones(2, 4, 4, 8).cumsum(3), "nhwc")[0, :, 2, 2], torch.arange(1.0, 9))
