"""From settings to the data and the loaders of a run."""

import hashlib
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset import dataset_dict, load_dataset
from dataset.data import Data, DataSettings, eval_loader, eval_loaders, load_data, train_loader
from helper.arguments import Parser, options_of
from helper.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def file(tmp_path: Path, small_arrays: Callable) -> Path:
    """A data set of 60 training images."""
    np.savez(tmp_path / "dataset.npz", **small_arrays(per_class=20))
    return tmp_path / "dataset.npz"


def settings_of(*words: str) -> DataSettings:
    """What a command line says."""
    parser = Parser("")
    parser.add_flags("dataset.data:DataSettings", "data", choices={"dataset": dataset_dict})
    return DataSettings(**options_of(DataSettings, vars(parser.parse_args(words))))


def test_the_flags_are_the_fields_with_the_published_defaults() -> None:
    assert settings_of() == DataSettings()
    assert {field.name: getattr(DataSettings(), field.name) for field in fields(DataSettings)} == {
        "dataset": "cifar100",
        "data_folder": Path("data"),
        "batch_size": 64,
        "val_split": 0.0,
        "train_size": None,
        "eval_batch_size": 1000,
    }
    with pytest.raises(FrozenInstanceError):
        DataSettings().batch_size = 2


def test_flags_become_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = (
        "--dataset npz --data_folder=~/x --batch_size 8 --val_split 0.1 --train_size 50 --eval_batch_size 9"
    )
    assert settings_of(*words.split()) == DataSettings(
        dataset="npz",
        data_folder=tmp_path / "x",
        batch_size=8,
        val_split=0.1,
        train_size=50,
        eval_batch_size=9,
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--dataset mnist", "argument --dataset: invalid choice: 'mnist' .*cifar100.*digits.*npz"),
        ("--batch_size 0", "argument --batch_size: 0 is not a whole number from 1"),
        ("--val_split 1", "argument --val_split: 1 is not a number from 0 to below 1"),
        ("--train_size 1.5", "argument --train_size: '1.5' is not a whole number from 1"),
        ("--eval_batch_size -1", "argument --eval_batch_size: -1 is not a whole number from 1"),
    ],
)
def test_wrong_flags_are_one_line(words: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        settings_of(*words.split())


def test_a_data_set_registered_by_a_user_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, small_dataset: Callable
) -> None:
    monkeypatch.setitem(dataset_dict, "own", lambda folder: small_dataset(name="own"))
    settings = settings_of("--dataset", "own")
    assert load_data(settings, seed=0).dataset.name == "own"


def test_slices_and_held_out_parts_are_parts_of_the_training_images(file: Path) -> None:
    whole = load_dataset("npz", file)
    settings = DataSettings(dataset="npz", data_folder=file, train_size=30, val_split=0.2)
    data = load_data(settings, seed=1)
    held_out = data.validation.images
    assert (data.train.images.shape, held_out.shape) == ((24, 32, 32, 3), (6, 32, 32, 3))
    known = {
        image.tobytes(): label for image, label in zip(whole.train_images, whole.train_labels, strict=True)
    }
    parts = {"train": data.train, "held out": data.validation}
    found = {
        name: {
            image.tobytes()
            for image, label in zip(part.images, part.labels, strict=True)
            if known[image.tobytes()] == label
        }
        for name, part in parts.items()
    }
    assert (len(found["train"]), len(found["held out"])) == (24, 6)
    assert not found["train"] & found["held out"]
    assert data.dataset.mean == whole.mean  # the normalisation is the whole data set's

    other = load_data(settings, seed=2)
    slices = [
        {image.tobytes() for image in (*each.train.images, *each.validation.images)} for each in (data, other)
    ]
    assert slices[0] == slices[1]  # the slice is the same for every seed
    assert not np.array_equal(held_out, other.validation.images)
    assert load_data(replace(settings, val_split=0.0), seed=1).validation is None


def literal_fingerprint(data: Data) -> str:
    """As every run since version 0.1 has written it down."""
    sha = hashlib.sha256()
    parts = [part for part in (data.train, data.validation, data.dataset.test) if part is not None]
    for array in (array for part in parts for array in (part.images, part.labels)):
        sha.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
    return sha.hexdigest()


def test_the_fingerprint_is_of_all_that_a_run_sees(file: Path, small_dataset: Callable) -> None:
    settings = DataSettings(dataset="npz", data_folder=file)
    cases = [
        load_data(settings, seed=0),
        load_data(replace(settings, train_size=30), seed=0),
        load_data(replace(settings, val_split=0.2), seed=0),
        load_data(replace(settings, val_split=0.2), seed=1),
    ]
    plain = small_dataset()
    for split in ("train", "test"):
        changed = small_dataset()
        getattr(changed, f"{split}_labels")[3] += 1
        cases.append(Data(changed, changed.train, None))
    cases.append(Data(plain, plain.train, None))
    prints = [data.fingerprint() for data in cases]
    assert prints == [literal_fingerprint(data) for data in cases]
    assert len(set(prints)) == len(cases)
    assert load_data(settings, seed=5).fingerprint() == prints[0]


def test_the_fingerprint_is_computed_once(small_dataset: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = small_dataset()
    data = Data(dataset, dataset.train, None)
    first = data.fingerprint()
    monkeypatch.setattr(hashlib, "sha256", None)
    assert data.fingerprint() == first


def test_loaders_follow_the_settings(file: Path) -> None:
    settings = DataSettings(dataset="npz", data_folder=file, batch_size=8, val_split=0.1, eval_batch_size=4)
    data = load_data(settings, seed=0)
    train = train_loader(data, settings, seed=3, device=CPU, drop_last=True, views=("strong",))
    assert (train.n_data, train.batch_size, len(train)) == (54, 8, 6)
    batch = next(train.epoch(0))
    assert batch.views["strong"].shape == batch.images.shape == (8, 3, 32, 32)
    whole = train_loader(data, settings, seed=3, device=CPU, drop_last=False)
    assert torch.equal(next(whole.epoch(0)).images, batch.images)
    assert not next(whole.epoch(0)).views
    assert sum(len(batch.labels) for batch in whole.epoch(0)) == 54
    test, validation = eval_loaders(data, settings, CPU)
    assert [len(batch.labels) for batch in test] == 15 * [4]
    assert [len(batch.labels) for batch in validation] == [4, 2]
    assert eval_loaders(load_data(replace(settings, val_split=0.0), seed=0), settings, CPU)[1] is None


def test_evaluation_has_one_default_batch_everywhere(small_dataset: Callable) -> None:
    dataset = small_dataset()
    own = eval_loader(dataset, dataset.test, DataSettings(), CPU)
    run, _ = eval_loaders(Data(dataset, dataset.train, None), DataSettings(), CPU)
    assert own.batch_size == run.batch_size == settings_of().eval_batch_size
