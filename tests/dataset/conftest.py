"""Small data sets that the tests of this room share."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset.base import DataSet
from dataset.cifar100 import MEAN, STD

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def small_arrays() -> Callable[..., Arrays]:
    """A function that makes the four arrays of a random data set, always the same."""

    def make(size: int = 32, classes: int = 3, per_class: int = 4) -> Arrays:
        random = np.random.default_rng(0)
        arrays = {}
        for split in ("train", "test"):
            labels = np.tile(np.arange(classes), per_class)
            arrays[f"{split}_images"] = random.integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8)
            arrays[f"{split}_labels"] = labels
        return arrays

    return make


@pytest.fixture(scope="session")
def small_dataset(small_arrays: Callable[..., Arrays]) -> Callable[..., DataSet]:
    """A function that makes a data set of twelve images and three classes, with the changes it is given."""

    def make(**changes: object) -> DataSet:
        settings = {"name": "small", "num_classes": 3, "mean": MEAN, "std": STD}
        return DataSet(**{**settings, **small_arrays(), **changes})

    return make


@pytest.fixture
def broken_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is resolved and no connection made, whoever asks for it."""

    def refuse(*arguments: object, **keywords: object) -> None:
        raise OSError("no network in this test")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def odd_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose name is no UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/donn\xe9es"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system wants UTF-8")
    yield folder
