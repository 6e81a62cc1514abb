"""torchvision's classification sets by name."""

import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.transforms.v2 import functional as F

from dataset.base import DataSet, channel_statistics
from dataset.picture_set import PictureSet, picture_set
from dataset.picture_settings import PictureSettings
from dataset.pictures import UNREADABLE, as_pixels
from helper.errors import UserError, told_in_a_line

SMALL = 64  # pixels a side, up to which pictures that are in memory are kept as arrays
SIZES = (32, 64)
Words = dict[str, Any]
_TRAIN = ({"train": True}, {"train": False})
_SPLIT = ({"split": "train"}, {"split": "test"})
_VAL = ({"split": "train"}, {"split": "val"})
_TRAINVAL = ({"split": "trainval"}, {"split": "test"})
# classification sets, and the words that ask for their training and their test part
SETS: dict[str, tuple[Words, Words]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS"), _TRAIN),
    **dict.fromkeys(("Country211", "DTD", "FER2013", "Flowers102", "Food101", "GTSRB", "PCAM"), _SPLIT),
    **dict.fromkeys(("RenderedSST2", "STL10", "SVHN", "StanfordCars"), _SPLIT),
    **dict.fromkeys(("CLEVRClassification", "ImageNet", "Imagenette"), _VAL),
    **dict.fromkeys(("FGVCAircraft", "OxfordIIITPet"), _TRAINVAL),
    "EMNIST": ({"split": "balanced", "train": True}, {"split": "balanced", "train": False}),
    "Places365": ({"split": "train-standard"}, {"split": "val"}),
}
# letters, digits and signs, which are others when mirrored
WITH_A_SIDE = ("EMNIST", "GTSRB", "KMNIST", "MNIST", "QMNIST", "RenderedSST2", "SVHN", "USPS")


class Wrapped:
    """A part of a set of torchvision's, which gives (picture, label)."""

    def __init__(self, name: str, data: Any, labels: np.ndarray, indices: np.ndarray | None = None):
        self.name, self.data = name, data
        self.indices = np.arange(len(labels)) if indices is None else indices
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Tensor:
        """A picture, (3, H, W) uint8, RGB; UserError where it cannot be read."""
        try:
            picture, _ = self.data[int(self.indices[index])]
        except UNREADABLE as error:
            raise UserError(
                f"{self.name}: picture {self.indices[index]} cannot be read ({error}): fetch the set again"
            ) from error
        return as_pixels(picture)

    def take(self, indices: np.ndarray) -> "Wrapped":
        """The part of these pictures, in their order."""
        return Wrapped(self.name, self.data, self.labels[indices], self.indices[indices])

    def update(self, sha: Any) -> None:
        """Give a hash the set's name, its part, and the numbers and labels of the pictures."""
        sha.update(repr((self.name, len(self.data))).encode())
        for array in (self.indices, self.labels):
            sha.update(np.ascontiguousarray(array, np.int64))


def load_torchvision(
    folder: Path, asked: PictureSettings, val_split: float, name: str
) -> PictureSet | DataSet:
    """The set of that name, in the folder, or fetched to it; val_split is not used, all have a test part.

    Pictures that are in memory and at most 64 pixels a side become arrays of 32 or 64 pixels, which are
    augmented on the device, unless something is asked of pictures from files. Raises UserError for a name
    that torchvision does not have, for a set without two parts, and where it cannot be fetched.
    """
    if name not in SETS:
        near = get_close_matches(name, SETS, 5, cutoff=0.5) or SETS
        raise UserError(f"--dataset torchvision:{name} is unknown; allowed are {', '.join(near)}")
    train, test = (open_part(name, folder, words) for words in SETS[name])
    labels = [labels_of(part, name) for part in (train, test)]
    classes = names_of(train, int(max(found.max() for found in labels)) + 1)
    arrays = [pixels_of(part) for part in (train, test)]
    if all(array is not None for array in arrays) and not asked.asked():
        return as_arrays(name, arrays, labels, classes)
    parts = [Wrapped(name, part, own) for part, own in zip((train, test), labels, strict=True)]
    return picture_set(f"torchvision:{name}", *parts, classes, asked.mirrored(name not in WITH_A_SIDE))


def open_part(name: str, folder: Path, words: Words) -> Any:
    """A part of a set, fetched if it is not there; UserError where that fails."""
    kind = getattr(datasets, name, None)
    if kind is None:
        raise UserError(f"torchvision:{name} needs a newer torchvision: update it, or choose another set")
    what = f"torchvision:{name} cannot be had from {folder}"
    with told_in_a_line(what, "fetch it, or say with --data_folder where it is"):
        try:
            return kind(folder, **words)
        except (RuntimeError, FileNotFoundError):
            if "download" not in inspect.signature(kind.__init__).parameters:
                raise
            return kind(folder, **words, download=True)


def labels_of(data: Any, name: str) -> np.ndarray:
    """(n,) int64; where a set does not say its labels, every picture is opened once for its own."""
    for place in ("targets", "labels", "_labels"):
        found = getattr(data, place, None)
        if found is not None and len(found) == len(data):
            break
    else:
        found = [data[index][1] for index in range(len(data))]
    labels = np.asarray(found)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UserError(f"torchvision:{name} has labels {labels.dtype} {labels.shape}, which are no classes")
    return labels.astype(np.int64)


def names_of(data: Any, count: int) -> tuple[str, ...]:
    """The names of the classes, or their numbers where the set has no names for all."""
    names = getattr(data, "classes", None)
    if isinstance(names, Sequence) and len(names) == count:
        return tuple(one if isinstance(one, str) else " ".join(map(str, one)) for one in names)
    return tuple(map(str, range(count)))


def pixels_of(data: Any) -> np.ndarray | None:
    """(n, S, S, 3) uint8 of a set whose small pictures are in memory, S = 32 or 64; None for others."""
    held = getattr(data, "data", None)
    if not isinstance(held, (np.ndarray, Tensor)) or held.dtype not in (np.uint8, torch.uint8):
        return None
    pixels = torch.as_tensor(held)
    if pixels.ndim == 3:
        pixels = pixels[:, None].expand(-1, 3, -1, -1)
    elif pixels.ndim == 4 and pixels.shape[3] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] != 3 or max(pixels.shape[2:]) > SMALL:
        return None
    side = min(size for size in SIZES if size >= max(pixels.shape[2:]))
    if pixels.shape[2:] != (side, side):
        pixels = F.resize(pixels, [side, side], antialias=True)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def as_arrays(
    name: str, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: tuple[str, ...]
) -> DataSet:
    """The set as arrays on the device."""
    mean, std = channel_statistics(images[0])
    return DataSet(
        f"torchvision:{name}",
        images[0],
        labels[0],
        images[1],
        labels[1],
        len(classes),
        mean,
        std,
        flip=name not in WITH_A_SIDE,
        class_names=classes,
    )
