"""Parts of a data set whose pictures are read one by one."""

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from dataset.pictures import read_picture


class Items(Protocol):
    """A part (`dataset.base.Part`) whose pictures are read when they are wanted."""

    labels: np.ndarray

    def __len__(self) -> int:
        """How many pictures there are."""

    def read(self, index: int) -> Tensor:
        """A picture, (3, H, W) uint8, RGB, upright."""

    def take(self, indices: np.ndarray) -> "Items":
        """The part of these pictures, in their order."""

    def update(self, sha: Any) -> None:
        """Give a hash what tells these pictures from others."""


class Joined:
    """The pictures of two parts, one behind the other."""

    def __init__(self, first: Items, second: Items):
        self.first, self.second = first, second
        self.labels = np.concatenate([first.labels, second.labels])

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Tensor:
        """A picture, (3, H, W) uint8, RGB, upright."""
        place = index - len(self.first)
        return self.first.read(index) if place < 0 else self.second.read(place)

    def take(self, indices: np.ndarray) -> "Joined":
        """The part of these pictures, those of the first part before those of the second."""
        indices = np.asarray(indices)
        behind = indices >= len(self.first)
        return Joined(self.first.take(indices[~behind]), self.second.take(indices[behind] - len(self.first)))

    def update(self, sha: Any) -> None:
        """Give a hash what tells these pictures from others."""
        self.first.update(sha)
        self.second.update(sha)


class Files:
    """Pictures in files below a folder.

    names: (n,) bytes, relative to the folder; sizes: (n,) in bytes; labels: (n,) int64. All in arrays, since
    a list of a million strings would be copied into every worker.
    """

    def __init__(self, root: Path, names: np.ndarray, sizes: np.ndarray, labels: np.ndarray):
        self.root, self.names, self.sizes, self.labels = root, names, sizes, labels

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """Where a picture is."""
        return self.root / os.fsdecode(bytes(self.names[index]))

    def read(self, index: int) -> Tensor:
        """A picture, (3, H, W) uint8, RGB, upright; UserError if its file cannot be read."""
        return read_picture(self.path(index))

    def take(self, indices: np.ndarray) -> "Files":
        """The part of these pictures, in their order."""
        return Files(self.root, self.names[indices], self.sizes[indices], self.labels[indices])

    def update(self, sha: Any) -> None:
        """Give a hash the names, the sizes and the labels; hashing what is in them would take as long as an
        epoch.
        """
        for name, size, label in zip(
            self.names.tolist(), self.sizes.tolist(), self.labels.tolist(), strict=True
        ):
            sha.update(b"%s\0%d\0%d\n" % (name, size, label))
