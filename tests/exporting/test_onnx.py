"""ONNX by onnxruntime: the same logits as the network, all that is needed within the file, and 8 bits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from exporting.check import TOLERANCE, check_same
from exporting.deployed import Deployed
from exporting.predict import open_network
from exporting.write import Data, export
from helper.errors import UserError
from helper.files import write_atomically
from models.checkpoint import read_network
from tests.exporting.materials import NAMES, ready

MISSING = "is not installed: sh scripts/setup.sh extra"
onnx = pytest.importorskip("onnx", reason=f"onnx {MISSING}")
pytest.importorskip("onnxscript", reason=f"onnxscript {MISSING}")
pytest.importorskip("onnxruntime", reason=f"onnxruntime {MISSING}")
from exporting.onnx_file import Onnx  # noqa: E402 (needs the packages)
from exporting.quantised import FILE, calibration_images, quantise  # noqa: E402


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Deployed:
    return ready(tmp_path_factory.mktemp("onnx") / "network.pth", resize=40)


@pytest.fixture(scope="module")
def written(network, tmp_path_factory) -> Path:
    """A folder with nothing but the ONNX file."""
    folder = tmp_path_factory.mktemp("written")
    Onnx().write(network, folder)
    return folder / Onnx.file


def test_the_file_is_whole_and_its_places_have_names(written):
    model = onnx.load(written)
    (image,), (logits,) = model.graph.input, model.graph.output
    shapes = [
        [side.dim_param or side.dim_value for side in place.type.tensor_type.shape.dim]
        for place in (image, logits)
    ]
    assert (image.name, logits.name) == ("image", "logits")
    assert shapes == [["batch", 3, 32, 32], ["batch", 3]]
    assert [file.name for file in written.parent.iterdir()] == ["model.onnx"]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_it_says_what_the_network_says(network, written):
    run = Onnx().read(network, written.parent, threads=1)
    assert check_same(network, "it", run) <= 1e-5 < TOLERANCE
    assert run(network.example(65)).shape == (65, 3)


def test_the_file_alone_is_enough(network, written, tmp_path):
    (tmp_path / "renamed.onnx").write_bytes(written.read_bytes())
    reader = open_network(tmp_path / "renamed.onnx", None, "auto")
    assert reader.record == network.record
    images = network.example(5)
    found, expected = (run(images).softmax(1) for run in (reader.logits, network.logits))
    assert float((found - expected).abs().max()) <= 1e-4


def without_metadata(written: Path, folder: Path) -> Path:
    model = onnx.load(written)
    del model.metadata_props[:]
    write_atomically(folder / "model.onnx", model.SerializeToString())
    return folder / "model.onnx"


def test_without_its_metadata_what_lies_beside_it_is_read(network, written, tmp_path):
    path = without_metadata(written, tmp_path)
    bare = open_network(path, None, "cpu").record
    assert (bare.class_names, bare.image_size, bare.num_classes, bare.resize) == (None, 32, 3, None)
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\n")
    assert open_network(path, None, "cpu").record.class_names == ("one", "two", "three")
    (tmp_path / "config.json").write_text("[1]")
    assert open_network(path, None, "cpu").record.resize is None
    (tmp_path / "config.json").write_text(json.dumps({"modreduce": network.record.entries()}))
    beside = open_network(path, None, "cpu").record
    assert (beside.class_names, beside.resize) == (NAMES, 40)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "cannot be read as ONNX"), (b"no network at all", "cannot be read as ONNX")],
)
def test_what_is_no_onnx_is_refused_in_a_line(content, said, tmp_path):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        open_network(tmp_path / "model.onnx", None, "cpu")
    assert "\n" not in str(error.value)


def foreign(path: Path, image: list, kind: str = "FLOAT") -> Path:
    """Somebody's ONNX file: the sum of each image's channel, as logits."""
    place, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    x, y = place("x", getattr(types, kind), image), place("y", getattr(types, kind), image[:2])
    axes = onnx.helper.make_tensor("axes", types.INT64, [2], [2, 3])
    node = onnx.helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    graph = onnx.helper.make_graph([node], "g", [x], [y], initializer=[axes])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (["batch", 3, "height", "width"], "FLOAT"),
        (["batch", 4, 8, 8], "FLOAT"),
        (["batch", 3, 8, 8], "DOUBLE"),
    ],
)
def test_what_does_not_take_pictures_is_refused(image, kind, tmp_path):
    path = foreign(tmp_path / "model.onnx", image, kind)
    with pytest.raises(UserError, match=r"takes floats \(batch, 3, height, width\) of fixed size"):
        open_network(path, None, "cpu")


def test_somebody_else_s_file_is_run_and_its_pixels_are_told(tmp_path):
    reader = open_network(foreign(tmp_path / "model.onnx", ["n", 3, 8, 9]), None, "cpu")
    assert (reader.record.image_size, reader.record.num_classes) == ("8x9", 3)
    assert "does not say what its pixels are: they go from 0 to 1" in reader.note
    images = torch.rand(2, 3, 8, 9)
    assert torch.allclose(reader.logits(images), images.sum((2, 3)))
    alone = open_network(foreign(tmp_path / "one.onnx", [1, 3, 8, 8]), None, "cpu")
    with pytest.raises(UserError, match=r"cannot be run on 2 pictures at once: .*; try --batch_size 1"):
        alone.logits(torch.rand(2, 3, 8, 8))


def test_onnx_runs_on_the_cpu_alone(written):
    with pytest.raises(UserError, match=r"--device cuda: .* is run on the CPU"):
        open_network(written, None, "cuda")


def test_8_bits_say_nearly_the_same_in_a_file_of_a_third(network, written, tmp_path):
    random = np.random.default_rng(4)
    images = torch.from_numpy(random.random((64, 3, 32, 32), np.float32))
    quantise(network, written, images.split(32), tmp_path / FILE)
    reader = open_network(tmp_path / FILE, None, "cpu")
    assert reader.record == network.record
    found, expected = (run(images) for run in (reader.logits, network.logits))
    error = float((found - expected).abs().mean() / expected.abs().mean())
    assert 0 < error < 0.05
    assert (tmp_path / FILE).stat().st_size < 0.5 * written.stat().st_size
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / FILE).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds and onnx.TensorProto.UINT8 not in kinds


def test_calibration_has_images_of_each_class_and_no_more_than_there_are(data):
    batches = calibration_images(data.dataset, 70)
    assert [tuple(batch.shape) for batch in batches] == [(n, 3, 32, 32) for n in (32, 32, 6)]
    values = torch.cat(batches)
    assert (float(values.min()), float(values.max())) == (0, 1)
    for count in (9, len(data.dataset.train) + 1):
        with pytest.raises(UserError, match=rf"--int8 asks for {count} images, allowed are 10 "):
            calibration_images(data.dataset, count)


SWEPT = [
    ("resnet8x4", 32),
    ("ShuffleV2", 64),
    ("MobileNetV2", 32),
    ("norm/wrn_16_1/resnet8", 64),
    ("reused/resnet8/resnet8x4", 32),
    ("torchvision:resnet18", 64),
    ("torchvision:vit_b_32", 64),
    ("timm:vit_tiny_patch16_224", 64),
    ("timm:swin_tiny_patch4_window7_224", 64),
    ("timm:convnext_atto", 64),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "size"), SWEPT, ids=[arch for arch, _ in SWEPT])
def test_networks_of_all_kinds_are_the_same_in_all_formats(arch, size, tmp_path):
    if arch.startswith("timm:"):
        pytest.importorskip("timm", reason=f"timm {MISSING}")
    network = ready(tmp_path / "network.pth", arch, size)
    with torch.no_grad():
        for parameter in network.module.parameters():  # heads that start with zeros would say nothing
            if not parameter.any():
                parameter.normal_(std=0.02)
    export(network, None, ["safetensors", "pt2", "onnx"], None, tmp_path / "out", latency=False)
    found = json.loads((tmp_path / "out/export.json").read_text())["largest_difference"]
    assert len(found) == 3 and all(0 <= difference <= TOLERANCE for difference in found.values())


@pytest.mark.slow
def test_8_bits_cost_a_trained_network_of_digits_less_than_a_point(data, tmp_path):
    """Calibrated on 256 images, a resnet8 that was trained for a few epochs."""
    from dataset.data import DataSettings
    from tests.commands.running import run

    words = ["--dataset", "digits", "--epochs", 6, "--lr_decay_epochs", 5, "--precision", "fp32"]
    run("train_teacher.py", "--model", "resnet8", *words, "--device", "cpu", folder=tmp_path)
    from exporting.deployed import deployed

    network = deployed(read_network(tmp_path / "save/models/resnet8_digits/ckpt_epoch_6.pth"), data.dataset)
    settings = Data(data.dataset, DataSettings(dataset="digits"), 256)
    export(network, None, ["onnx"], settings, tmp_path / "out", latency=False)
    rows = json.loads((tmp_path / "out/export.json").read_text())["rows"]
    accuracy = {row["name"]: row["test_acc"] for row in rows}
    assert accuracy["model.onnx (onnxruntime)"] > 90
    assert accuracy["model.onnx (onnxruntime)"] - accuracy[f"{FILE} (onnxruntime)"] < 1


def test_what_was_exported_needs_no_code_that_a_file_names(tmp_path):
    """A network of a user's file runs from its ONNX file without that file."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def net(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(8, num_classes))\n"
    )
    arch = f"{tmp_path}/net.py:net"
    network = ready(tmp_path / "network.pth", arch)
    export(network, None, ["safetensors", "onnx"], None, tmp_path / "out", latency=False)
    (tmp_path / "net.py").unlink()
    with pytest.raises(UserError, match="is not run because a file names it"):
        open_network(tmp_path / "out", None, "cpu")
    (tmp_path / "out/model.safetensors").unlink()
    assert open_network(tmp_path / "out", None, "cpu").record.arch == arch
