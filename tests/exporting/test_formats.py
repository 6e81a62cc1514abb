"""Each format says what the network says; what differs is refused, and nothing is left of it."""

import json
import math
from pathlib import Path

import pytest
import torch

from exporting import formats_dict
from exporting.check import BATCHES, TOLERANCE, check_same, is_decided, relative_difference
from exporting.deployed import Deployed, deployed
from exporting.formats import Format, Logits
from exporting.measure import gflop, parameters
from exporting.program import Program
from exporting.weights import Safetensors, transform_of
from exporting.write import export
from helper.checkpoint import write_checkpoint
from helper.errors import UserError
from models import build_bare
from models.checkpoint import read_network
from models.record import NetworkRecord
from tests.exporting.materials import MEAN, NAMES, STD, ready, write_network

TIMM = "timm is not installed: sh scripts/setup.sh extra"


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Deployed:
    return ready(tmp_path_factory.mktemp("network") / "network.pth")


def refusal(*arguments: object, **named: object) -> str:
    with pytest.raises(UserError) as error:
        export(*arguments, **named)
    return str(error.value)


def test_pixels_go_in_and_the_networks_own_logits_come_out(network):
    images = network.example(4)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        expected = read_network(network.path).network.eval()((images - mean) / std)
    assert torch.equal(network.logits(images), expected)


def test_weights_are_a_checkpoint_with_all_that_the_record_says(network, tmp_path):
    Safetensors().write(network, tmp_path)
    assert check_same(network, "it", Safetensors().read(network, tmp_path)) == 0
    file = read_network(tmp_path / "model.safetensors")
    assert file.record == network.record == NetworkRecord.of(network.record.entries())
    assert file.took is None and file.arch == "resnet8"
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["architecture"], config["num_classes"], config["label_names"]) == ("resnet8", 3, [*NAMES])
    found = config["pretrained_cfg"]
    assert (found["input_size"], found["mean"], found["std"]) == ([3, 32, 32], [*MEAN], [*STD])


def test_a_program_is_for_any_number_of_images_and_needs_no_code(network, tmp_path):
    Program().write(network, tmp_path)
    run = Program().read(network, tmp_path)
    assert check_same(network, "it", run) <= 1e-6
    assert run(network.example(33)).shape == (33, 3)


def test_timm_resizes_to_as_many_pixels_as_here(network):
    """It divides the size by crop_pct, and rounds down."""
    for resize in (None, *range(33, 1000)):
        record = NetworkRecord(image_size="48x32", resize=resize)
        transform = transform_of(Deployed(network.path, record, network.module))
        assert math.floor(32 / transform["crop_pct"]) == (resize or 32)
        assert transform["crop_mode"] == ("squash" if resize is None else "center")


@pytest.mark.parametrize(
    ("arch", "size"), [("mobilenetv3_small_050", 64), ("vit_tiny_patch16_224.augreg_in21k", 48)]
)
def test_timm_itself_reads_its_networks(arch, size, tmp_path):
    timm = pytest.importorskip("timm", reason=TIMM)
    network = ready(tmp_path / "network.pth", f"timm:{arch}", size, resize=55)
    Safetensors().write(network, tmp_path)
    assert check_same(network, "it", Safetensors().read(network, tmp_path)) == 0
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=theirs))
    resize, crop, _, normalise = transform.transforms
    assert (resize.size, tuple(crop.size)) == (55, (size, size))
    assert torch.allclose(normalise.mean, torch.tensor(MEAN)) and theirs.num_classes == 3
    other = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=7)
    assert other.num_classes == 7


def test_a_network_that_timm_would_build_otherwise_is_not_said_to_be_timms(tmp_path):
    """With a changed stem its weights would load, and say something else."""
    timm = pytest.importorskip("timm", reason=TIMM)
    network = ready(tmp_path / "network.pth", "timm:mobilenetv3_small_050", 64, small_stem=True)
    Safetensors().write(network, tmp_path)
    assert check_same(network, "it", Safetensors().read(network, tmp_path)) == 0
    with pytest.raises((RuntimeError, ValueError)):
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True)


class Off(Format):
    """A format that adds something to every logit."""

    file = "model.off"
    by = 0.0

    def write(self, network: Deployed, folder: Path) -> None:
        (folder / self.file).write_text("x")

    def read(self, network: Deployed, folder: Path, threads: int | None = None) -> Logits:
        return lambda images: network.logits(images) + self.by


@pytest.mark.parametrize("by", [1e-3, float("nan"), -math.inf])
def test_a_format_that_differs_is_refused_and_nothing_stays(by, network, tmp_path, monkeypatch):
    monkeypatch.setitem(formats_dict, "off", type("Off", (Off,), {"by": by}))
    said = refusal(network, None, ["safetensors", "off"], None, tmp_path / "a/b/out")
    assert said.startswith("model.off differs from resnet8 by ") and "(allowed is 0.0001)" in said
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    refusal(network, None, ["safetensors", "off"], None, tmp_path / "empty")
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_logits_of_another_shape_are_refused(network):
    with pytest.raises(UserError, match=r"it cannot be run on 1 images: .*its logits are \(1, 2\), not"):
        check_same(network, "it", lambda images: network.logits(images)[:, :2])


def test_every_number_of_images_is_tried(network):
    seen = []
    check_same(network, "it", lambda images: seen.append(len(images)) or network.logits(images))
    assert seen == list(BATCHES) == [1, 2, 7]


def test_a_difference_is_a_part_of_the_largest_logit():
    expected = torch.tensor([[1.0, -50.0]])
    assert relative_difference(expected + 0.01, expected) == pytest.approx(0.01 / 50, rel=1e-3)
    assert relative_difference(expected * 0, expected * 0) == 0


def test_only_images_whose_classes_rounding_may_exchange_decide_nothing():
    logits = torch.tensor([[10.0, 9.0], [10.0, 10 - 1e-3], [10.0, 10 - 2.5e-3], [0.0, 5.0]])
    assert is_decided(logits).tolist() == [True, False, True, True] and TOLERANCE == 1e-4


def test_code_that_cannot_be_followed_is_told_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(
        "import torch\nclass Odd(torch.nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.fc = torch.nn.Linear(3, n)\n"
        "    def forward(self, x):\n        z = self.fc(x.mean((2, 3)))\n"
        "        return z + 1 if z.sum() > 0 else z\n"
        "def odd(num_classes):\n    return Odd(num_classes)\n"
    )
    arch = f"{tmp_path}/net.py:odd"
    network = ready(tmp_path / "network.pth", arch)
    said = refusal(network, None, ["safetensors", "pt2"], None, tmp_path / "out")
    assert said.startswith(f"{arch} cannot be exported as a program: ") and "\n" not in said
    assert said.endswith("--formats safetensors keeps its weights") and not (tmp_path / "out").exists()
    assert "within 0 of" in export(network, None, ["safetensors"], None, tmp_path / "out", latency=False)


def test_a_network_made_of_two_is_read_back_as_one(tmp_path):
    network = ready(tmp_path / "network.pth", "reused/resnet8/resnet8x4")
    Safetensors().write(network, tmp_path)
    assert check_same(network, "it", Safetensors().read(network, tmp_path)) == 0


def test_images_need_not_be_squares(tmp_path):
    network = ready(tmp_path / "network.pth", image_size="32x64")
    assert network.example(2).shape == (2, 3, 32, 64)
    Safetensors().write(network, tmp_path)
    assert check_same(network, "it", Safetensors().read(network, tmp_path)) == 0


def test_a_file_that_says_no_normalisation_is_refused_or_takes_the_data_sets(tmp_path, data):
    path = write_network(tmp_path / "old.pth", mean=None, std=None, image_size=None, class_names=None)
    with pytest.raises(UserError, match=r"does not say with which mean and std .* --dataset"):
        deployed(read_network(path))
    with pytest.raises(UserError, match="was trained for 3 classes, the data set has 10"):
        deployed(read_network(path), data.dataset)
    write_checkpoint({"model": build_bare("resnet8", 10).state_dict(), "arch": "resnet8"}, path)
    record = deployed(read_network(path), data.dataset).record
    assert (record.mean, record.std) == (data.dataset.mean, data.dataset.std)
    assert (record.image_size, record.class_names) == (32, data.dataset.class_names)


def test_images_of_another_size_are_refused(tmp_path, data):
    path = tmp_path / "large.pth"
    content = {"model": build_bare("resnet8", 10).state_dict(), "arch": "resnet8", "image_size": 64}
    write_checkpoint(content, path)
    with pytest.raises(UserError, match="takes images of 64 x 64, the data set's are 32 x 32"):
        deployed(read_network(path), data.dataset)


def test_what_is_counted(network):
    """resnet8 on 32 x 32: its convolutions' multiply-adds by hand, two operations each."""
    by_hand = 0
    for channels_in, channels_out, size, kernel in (
        *((3, 16, 32, 3), (16, 16, 32, 3), (16, 16, 32, 3)),
        *((16, 32, 16, 3), (32, 32, 16, 3), (16, 32, 16, 1)),
        *((32, 64, 8, 3), (64, 64, 8, 3), (32, 64, 8, 1)),
    ):
        by_hand += channels_in * channels_out * kernel**2 * size**2
    assert gflop(network) == pytest.approx(2 * (by_hand + 64 * 3) / 1e9, rel=1e-9)
    assert parameters(network) == sum(p.numel() for p in network.module.network.parameters())
