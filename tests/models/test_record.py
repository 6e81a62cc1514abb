"""What a network's file says beside its weights: written and read again, and compared with the data."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from dataset.base import DataSet
from engine.facts import record_of_data
from helper.checkpoint import write_checkpoint
from models import build_network
from models.checkpoint import read_network
from models.normalisation import OwnNormalisation, own_normalisation
from models.record import NetworkRecord

WHOLE = NetworkRecord(
    arch="resnet8",
    student="kd",
    num_classes=3,
    epoch=2,
    epochs=4,
    accuracy=51.5,
    image_size=32,
    resize=36,
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    class_names=("cat", "dog", "owl"),
    dataset="npz",
    data_sha256="d" * 64,
    settings_sha256="5" * 64,
    changed={"train_size": 500, "model": "resnet8"},
    version="0.1.0",
    precision="fp32",
    taps=("layer1@nchw", "layer2@nchw"),
    small_stem=True,
    ema=0.999,
)


def test_a_record_is_read_as_it_was_written(tmp_path):
    assert all(getattr(WHOLE, field.name) is not None for field in fields(WHOLE))
    write_checkpoint(WHOLE.content(build_network("resnet8", 3)), tmp_path / "kd_last.pth")
    assert read_network(tmp_path / "kd_last.pth").record == WHOLE


def test_files_of_before_lack_what_they_do_not_say():
    old = NetworkRecord.of({"epoch": 240, "accuracy": 72.3, "model": {}})
    assert old == NetworkRecord(epoch=240, accuracy=72.3)
    assert old.differences(WHOLE) is None and old.normalisation is None


@pytest.mark.parametrize(
    "entry",
    [
        {"mean": "0.5"},
        {"mean": [0.1, 0.2]},
        {"mean": [0.1, 0.2, True]},
        {"std": [0.0, 0.1, 0.1]},
        {"std": None},
    ],
)
def test_a_normalisation_that_is_none_is_not_used(entry):
    content = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]} | entry
    assert NetworkRecord.of(content).normalisation is None


def test_entries_of_another_type_are_another_code_bases():
    foreign = {"arch": ["resnet"], "epoch": "last", "num_classes": True, "class_names": [1, 2], "version": 2}
    assert NetworkRecord.of(foreign) == NetworkRecord()


def data(**changed) -> NetworkRecord:
    arrays = [np.zeros((3, 32, 32, 3), np.uint8), np.arange(3)] * 2
    settings = {"num_classes": 3, "mean": WHOLE.mean, "std": WHOLE.std, "class_names": WHOLE.class_names}
    return record_of_data(DataSet("npz", *arrays, **settings | changed))


def test_the_same_data_differs_in_nothing():
    assert WHOLE.differences(data()) is None
    assert WHOLE.differences(data(class_names=None)) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"mean": (0.1, 0.2, 0.4)},
            "its own normalisation, mean (0.1, 0.2, 0.3) and std (0.4, 0.5, 0.6) (the",
        ),
        (
            {"class_names": ("cat", "owl", "dog")},
            "classes stand in another order (class 1 is 'dog' there, 'owl'",
        ),
        (
            {"class_names": ("ant", "bee", "fly")},
            "its classes have other names (class 0 is 'cat' there, 'ant'",
        ),
    ],
)
def test_what_differs_is_said_in_one_line(changed, said):
    assert said in WHOLE.differences(data(**changed)) and "\n" not in WHOLE.differences(data(**changed))


def test_another_data_set_and_another_size_are_said():
    said = NetworkRecord(dataset="cifar100", image_size=64).differences(data())
    assert said == "it was trained on cifar100, not on npz; its images were 64 x 64, these are 32 x 32"


def test_own_normalisation_is_that_of_the_pixels():
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    theirs, own = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)), (WHOLE.mean, WHOLE.std)

    def normalised(mean, std):
        return (pixels - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)

    images = normalised(*theirs).contiguous(memory_format=torch.channels_last)
    found = OwnNormalisation(theirs, own)(images)
    assert torch.allclose(found, normalised(*own), atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last) and found.dtype == torch.float32


def test_the_same_normalisation_needs_nothing():
    assert own_normalisation(([0.5] * 3, [0.2] * 3), ((0.5,) * 3, (0.2,) * 3)) is None
    assert own_normalisation(([0.5] * 3, [0.2] * 3), None) is None
