"""Folders of pictures: which layouts are read, and in which order."""

import os
from pathlib import Path

import numpy as np
import pytest

from dataset import load_dataset
from dataset.data import Data, DataSettings, load_data, load_test_data
from dataset.picture_settings import PictureSettings
from helper.errors import UserError
from tests.pictures import write_classes, write_picture, write_splits

HERE = PictureSettings(image_size=32, workers=0)


def read(folder: Path, seed: int = 0, asked: PictureSettings = HERE, **settings: object) -> Data:
    """The data that the flags ask for."""
    return load_data(DataSettings(dataset="imagefolder", data_folder=folder, **settings), seed, asked)


def names(part) -> list[str]:
    """The paths of a part's pictures, relative to its folder."""
    return [os.fsdecode(name) for name in part.names.tolist()]


def test_classes_are_numbered_by_the_order_of_their_names(tmp_path: Path) -> None:
    write_splits(tmp_path)
    write_picture(tmp_path / "train/bee/further/deep.JPG")
    (tmp_path / "train/ant/notes.txt").write_text("no picture")
    (tmp_path / "train/ant/.hidden.png").write_bytes(b"")
    (tmp_path / "train/.cache").mkdir()
    data = read(tmp_path)
    assert data.dataset.class_names == ("ant", "bee", "cat") and data.num_classes == 3
    assert names(data.train)[:6] == [*(f"ant/{k}.png" for k in range(4)), "bee/0.png", "bee/1.png"]
    assert "bee/further/deep.JPG" in names(data.train) and len(data.train) == 13
    assert data.labels.tolist() == [0] * 4 + [1] * 5 + [2] * 4
    assert names(data.dataset.test) == [f"{name}/{k}.png" for name in ("ant", "bee", "cat") for k in range(2)]
    assert data.validation is None and not data.has_unlabelled
    assert data.train.read(0).shape == (3, 40, 48)


@pytest.mark.parametrize(
    ("selects", "tests"), [("val", "test"), ("valid", None), ("validation", None), (None, "test")]
)
def test_the_parts_by_their_folders(tmp_path: Path, selects: str | None, tests: str | None) -> None:
    write_classes(tmp_path / "train", each=3)
    for place, name in enumerate(filter(None, (selects, tests))):
        write_classes(tmp_path / name, each=1 + place)
    data = read(tmp_path)
    both = selects is not None and tests is not None
    assert len(data.dataset.test) == (6 if both else 3)
    assert (data.validation is not None) == both
    if both:
        assert len(data.validation) == 3 and "selects the best epoch" in data.dataset.notes[0]
        with pytest.raises(UserError, match=r"--val_split 0\.5 is for data without a validation set"):
            read(tmp_path, val_split=0.5)


def test_one_folder_of_classes_is_split_the_same_way_for_every_seed(tmp_path: Path) -> None:
    write_classes(tmp_path, each=5)
    one, other = (read(tmp_path, seed, val_split=0.4) for seed in (0, 7))
    everything = sorted(f"{name}/{k}.png" for name in ("ant", "bee", "cat") for k in range(5))
    assert sorted(names(one.train) + names(one.dataset.test)) == everything
    assert (len(one.train), len(one.dataset.test), one.validation) == (9, 6, None)
    assert names(one.dataset.test) == names(other.dataset.test)
    assert np.bincount(one.dataset.test.labels).tolist() == [2, 2, 2]
    asked = {"dataset": "imagefolder", "data_folder": tmp_path, "val_split": 0.4, "workers": 0}
    tested, _ = load_test_data(asked, 32, None)
    assert names(tested.test) == names(one.dataset.test) and tested.image_size == 32


def test_the_fingerprint_sees_names_sizes_labels_and_parts(tmp_path: Path) -> None:
    write_splits(tmp_path)
    prints = [read(tmp_path).fingerprint(), read(tmp_path, val_split=0.25).fingerprint()]
    assert read(tmp_path).fingerprint() == prints[0] and len(prints[0]) == 64
    os.rename(tmp_path / "train/ant/0.png", tmp_path / "train/ant/00.png")
    prints.append(read(tmp_path).fingerprint())
    os.rename(tmp_path / "train/ant/00.png", tmp_path / "train/bee/00.png")
    prints.append(read(tmp_path).fingerprint())
    write_picture(tmp_path / "train/ant/1.png", 41, 48)
    prints.append(read(tmp_path).fingerprint())
    assert len(set(prints)) == len(prints)
    assert read(tmp_path).resolved()["data_sha256_of"] == "names, sizes and labels"


def test_broken_pictures_can_be_skipped(tmp_path: Path) -> None:
    write_splits(tmp_path)
    (tmp_path / "train/ant/2.png").write_bytes(b"")
    (tmp_path / "val/cat/0.png").write_text("text")
    with pytest.raises(
        UserError, match=r"2 of 18 pictures cannot be read: .*ant/2.png .0 bytes.*cat/0.png .no picture"
    ):
        read(tmp_path)
    data = read(tmp_path, asked=PictureSettings(image_size=32, workers=0, skip_broken=True))
    assert (len(data.train), len(data.dataset.test)) == (11, 5)
    assert "2 of 18 pictures cannot be read and are left out" in data.dataset.notes[0]


def test_pictures_without_labels_join_the_training_part(tmp_path: Path) -> None:
    write_splits(tmp_path / "own")
    write_classes(tmp_path / "pile", ["x", "y/z"], each=3)
    asked = PictureSettings(image_size=32, workers=0, unlabelled=tmp_path / "pile")
    data = read(tmp_path / "own", asked=asked, train_size=6)
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2] + [-1] * 6 and data.has_unlabelled
    assert np.array_equal(data.train.read(6), data.dataset.unlabelled.read(0))
    part = data.train.take(np.array([11, 0, 6]))
    assert part.labels.tolist() == [0, -1, -1]
    assert read(tmp_path / "own", train_size=6).fingerprint() != data.fingerprint()


def test_normalisation_and_size_are_those_that_are_asked_for(tmp_path: Path) -> None:
    write_splits(tmp_path)
    own = load_dataset("imagefolder", tmp_path, PictureSettings(normalise="data", image_size=32, workers=0))
    assert np.allclose(own.mean, 0.5, atol=0.02) and np.allclose(own.std, 0.2, atol=0.09)
    given = load_dataset("imagefolder", tmp_path, PictureSettings(normalise="0.1,0.2,0.3,0.4,0.5,0.6"))
    assert (given.mean, given.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (given.image_size, given.resize) == (224, 256)
    sized = PictureSettings().sized_as("48x64", 60)
    assert (sized.image_size, sized.val_resize) == ("48x64", 60)
    assert PictureSettings(image_size=96).sized_as(64, 70) == PictureSettings(image_size=96)


def test_many_classes(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", [f"c{k:04}" for k in range(1200)], each=1, height=2, width=2)
    write_classes(tmp_path / "val", [f"c{k:04}" for k in range(1200)], each=1, height=2, width=2)
    data = read(tmp_path)
    assert data.num_classes == 1200 and data.labels.tolist() == list(range(1200))
