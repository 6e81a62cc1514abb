"""Pictures of any size: what the zoo makes of them, and where the maps of other networks lie in them."""

import pytest
import torch
from torch import nn

from helper.errors import UserError
from helper.sizes import shown, sides
from models import build_network, model_dict
from models.dry_run import as_map, grid_of, layouts_of, sample
from models.reused import ReusedClassifier
from models.sources import build_foreign
from models.tapped import tapped
from models.taps import choose_taps
from tests.models.materials import BUILD, small_networks, untouched


@small_networks
@pytest.mark.parametrize("size", [2, 17, "20x32", "5x96"])
def test_the_zoo_takes_every_size_and_its_maps_keep_the_proportions(name, size):
    height, width = sides(size)
    network = BUILD[name]().eval()
    with torch.no_grad():
        out = network.outputs(torch.randn(1, 3, height, width))
    assert out.logits.shape == (1, 100) and out.embedding.shape[1] == network.classifier.in_features
    for m in (out.stem, *out.maps):
        strides = height / m.shape[2], width / m.shape[3]
        assert m.shape[2] == 1 or 0.5 < strides[0] / strides[1] < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", model_dict)
@pytest.mark.parametrize("size", [28, 96, 224, "64x96", "160x224"])
def test_every_network_of_the_zoo_takes_larger_pictures(name, size):
    with torch.no_grad():
        out = untouched(name).outputs(torch.randn(1, 3, *sides(size)))
    assert out.logits.shape == (1, 100) and len({m.shape[2:] for m in out.maps}) >= 2


@pytest.mark.parametrize(("size", "expected"), [(28, (7, 7)), ("48x64", (12, 16)), ("21x30", (6, 8))])
def test_a_reused_classifier_brings_the_map_to_the_teacher_s_size(size, expected):
    teacher, student = (model_dict[name](num_classes=5).eval() for name in ("resnet14", "resnet8"))
    network = ReusedClassifier.of(student, teacher, 5).eval()
    images = torch.randn(2, 3, *sides(size))
    out = network.outputs(images)
    assert out.maps[-1].shape[2:] == teacher.outputs(images).maps[-1].shape[2:] == expected
    assert not any(key.startswith("sizes") for key in network.state_dict())
    smaller = build_network("reused/resnet8/ShuffleV1", 5).eval()
    assert smaller.outputs(torch.randn(1, 3, 48, 64)).maps[-1].shape[2:] == (6, 8)


def test_layouts_of_maps_that_are_no_squares():
    pictures = (48, 64)
    assert layouts_of(torch.zeros(2, 8, 12, 16), 2, pictures) == ["nchw", "nhwc"]  # 8 x 12 is nearly 3 : 4
    assert layouts_of(torch.zeros(2, 12, 16, 8), 2, pictures) == ["nhwc"]
    assert layouts_of(torch.zeros(2, 96, 2, 2), 2, pictures) == ["nchw"]
    assert layouts_of(torch.zeros(2, 2, 2, 96), 2, pictures) == ["nhwc"]
    assert layouts_of(torch.zeros(2, 5, 3, 5), 2, pictures) == ["nchw"]  # 3 x 4, begun places counted
    assert layouts_of(torch.zeros(2, 3, 4, 8), 2, pictures) == ["nhwc"]
    assert layouts_of(torch.zeros(2, 8, 49, 49), 2, pictures) == []
    assert layouts_of(torch.zeros(2, 13, 8), 2, pictures)[0] == "tokens:1:3x4"
    assert layouts_of(torch.zeros(2, 7, 64), 2, pictures)[0] == "tokens:1:2x3"
    assert layouts_of(torch.zeros(2, 3000, 64), 2, pictures) == []
    x = torch.arange(2 * 13 * 5.0).reshape(2, 13, 5)
    assert as_map(x, "tokens:1:3x4").shape == (2, 5, 3, 4)
    assert torch.equal(as_map(x, "tokens:1:3x4")[1, :, 2, 1], x[1, 1 + 2 * 4 + 1])


@pytest.mark.parametrize(
    ("number", "pictures", "grid"),
    [
        (12, (48, 64), (3, 4)),
        (140, (160, 224), (10, 14)),
        (12, (50, 70), (3, 4)),
        (20, (50, 70), (4, 5)),
        (8, (32, 64), (2, 4)),
        (2, (16, 32), (1, 2)),
        (13, (48, 64), None),
        (0, (48, 64), None),
    ],
)
def test_the_grid_of_tokens_follows_from_the_pictures(number, pictures, grid):
    assert grid_of(number, pictures) == grid


@pytest.mark.parametrize("size", ["32x64", "64x48", "160x224"])
def test_torchvision_s_stages_are_found_at_any_size(size):
    torch.manual_seed(0)
    for name, paths in (
        ("torchvision:resnet18", ("layer1", "layer2", "layer3", "layer4")),
        ("torchvision:mobilenet_v3_small", ("features.1", "features.3", "features.8", "features")),
    ):
        network = build_foreign(name, 10, size)
        taps = choose_taps(network, name, size)
        assert tuple(str(tap) for tap in taps.stages) == tuple(f"{path}@nchw" for path in paths)
        out = tapped(network, name, size).eval().outputs(sample(network, size))
        height, width = sides(size)
        assert out.maps[1].shape[2:] == (-(-height // 8), -(-width // 8))


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet", "test_vit2", "test_mambaout"])
def test_timm_s_maps_are_timm_s_where_pictures_are_no_squares(name):
    pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    torch.manual_seed(0)
    network = build_foreign(f"timm:{name}", 10, "64x96").eval()
    found = tapped(network, name, "64x96")
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 96)
        _, theirs = network.forward_intermediates(images)
        ours = found.outputs(images).maps
    assert len(ours) == 4
    assert all(any(m.shape == t.shape and torch.equal(m, t) for t in theirs) for m in ours)
    names = found.taps.names()
    assert choose_taps(network, name, "64x96", names).stages == found.taps.stages


def test_taps_of_a_file_are_those_of_other_proportions_with_another_grid():
    pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    square = choose_taps(build_foreign("timm:test_vit", 10, 64), "timm:test_vit", 64)
    assert all(tap.layout.count(":") == 1 for tap in square.stages)
    wide = build_foreign("timm:test_vit", 10, "64x96")
    own = choose_taps(wide, "timm:test_vit", "64x96", square.names())
    assert [tap.path for tap in own.stages] == [tap.path for tap in square.stages]
    assert {tap.layout for tap in own.stages} == {f"{square.stages[0].layout}:4x6"}


def test_what_a_network_cannot_take_is_said_with_a_size_that_it_can():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(*(nn.Conv2d(3 if k == 0 else 4, 4, 3, 2) for k in range(5)))
            self.head = nn.Linear(4, 10)

        def forward(self, x):
            return self.head(self.body(x).mean((2, 3)))

    for size, enough in ((32, 63), ("32x64", "63x126")):
        with pytest.raises(UserError) as error:
            choose_taps(Deep(), "net.py:deep", size)
        said = str(error.value)
        assert said.startswith(f"net.py:deep cannot take images of {shown(size)}: RuntimeError: ")
        assert said.endswith(f"; {shown(enough)} is enough") and "\n" not in said
        choose_taps(Deep(), "net.py:deep", enough)
    with pytest.raises(UserError, match="take squares alone, and the images are 32 x 64: choose another"):
        build_network("torchvision:vit_b_16", 10, "32x64")


def test_a_network_that_takes_no_size_at_all_keeps_its_own_words():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no luck")

    with pytest.raises(UserError) as error:
        choose_taps(Broken(), "net.py:broken", 32)
    assert str(error.value) == "net.py:broken cannot take images of 32 x 32: RuntimeError: no luck"
