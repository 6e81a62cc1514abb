"""torchvision's sets by name: small ones as arrays, others as pictures that are read."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from dataset import load_dataset
from dataset.base import DataSet
from dataset.picture_set import PictureSet
from dataset.picture_settings import PictureSettings
from dataset.torchvision_sets import SETS
from helper.errors import UserError


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder with a small MNIST in the files of the real one."""
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    random = np.random.RandomState(0)
    for name, count in (("train", 30), ("t10k", 20)):
        images, labels = random.randint(0, 256, (count, 28, 28)), np.arange(count) % 10
        (raw / f"{name}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 2051, count, 28, 28) + images.astype(np.uint8).tobytes()
        )
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 2049, count) + labels.astype(np.uint8).tobytes()
        )
    return tmp_path


def test_small_sets_in_memory_become_arrays(mnist: Path) -> None:
    data = load_dataset("torchvision:MNIST", mnist)
    assert isinstance(data, DataSet) and not data.flip
    assert data.train_images.shape == (30, 32, 32, 3) and data.test_images.shape == (20, 32, 32, 3)
    assert data.num_classes == 10 and data.class_names[3] == "3 - three"
    whole = torchvision.datasets.MNIST(mnist, train=False)
    scaled = np.array(Image.fromarray(np.array(whole[7][0])).resize((32, 32), Image.BILINEAR)).astype(int)
    assert np.abs(data.test_images[7, ..., 1] - scaled).max() <= 1


def test_what_is_asked_of_pictures_makes_them_a_stream(mnist: Path) -> None:
    data = load_dataset("torchvision:MNIST", mnist, PictureSettings(image_size=48, workers=0))
    assert isinstance(data, PictureSet) and data.image_size == 48 and not data.flip
    assert data.train.read(3).shape == (3, 28, 28)
    part = data.train.take(np.array([7, 2]))
    assert part.labels.tolist() == [7, 2] and np.array_equal(part.read(1), data.train.read(2))


def test_food(tmp_path: Path) -> None:
    """A set of files with names for its classes, of a split and a test part."""
    import json

    root = tmp_path / "food-101"
    (root / "meta").mkdir(parents=True)
    for split in ("train", "test"):
        lists = {name: [f"{name}/{split}{k}" for k in range(2)] for name in ("apple_pie", "sushi")}
        (root / f"meta/{split}.json").write_text(json.dumps(lists))
        for name in (one for own in lists.values() for one in own):
            (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (70, 50), "red").save(root / "images" / f"{name}.jpg")
    data = load_dataset("torchvision:Food101", tmp_path)
    assert isinstance(data, PictureSet) and data.class_names == ("apple_pie", "sushi")
    assert data.train.labels.tolist() == [0, 0, 1, 1] and data.flip and data.image_size == 224


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torchvision:CIFAR is unknown; allowed are .*CIFAR10"):
        load_dataset("torchvision:CIFAR", tmp_path)
    with pytest.raises(UserError, match="torchvision:CocoDetection is unknown; allowed are"):
        load_dataset("torchvision:CocoDetection", tmp_path)


@pytest.mark.usefixtures("no_network")
def test_a_set_that_cannot_be_fetched_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torchvision:SVHN cannot be had from .*--data_folder") as error:
        load_dataset("torchvision:SVHN", tmp_path)
    assert "\n" not in str(error.value)


def test_all_names_are_torchvisions() -> None:
    assert [name for name in SETS if not hasattr(torchvision.datasets, name)] == []
