"""What a data set is, and what it must fulfil before anything is trained on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from helper.errors import UserError

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
IMAGE_SIZES = (32, 64)
Channels = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images of a classification task, and how its training images are augmented.

    Images: (n, H, W, 3) uint8, H = W = 32 or 64; labels: (n,) int64 in 0..num_classes-1. mean and std: per
    channel, in units where white is 1. padding: pixels of black on each side from which random crops are cut;
    flip: whether a mirrored image still shows the same class.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    mean: Channels
    std: Channels
    padding: int = 4
    flip: bool = True
    class_names: tuple[str, ...] | None = None


def check(dataset: DataSet) -> DataSet:
    """The data set with contiguous images and int64 labels; UserError if it cannot be trained on."""
    name = dataset.name
    arrays = check_arrays(name, {array: getattr(dataset, array) for array in ARRAY_NAMES})
    if dataset.num_classes < 2:
        raise UserError(
            f"{name}: num_classes is {dataset.num_classes}; classification needs at least 2 classes: "
            "check the labels, which count from 0"
        )
    for split in ("train", "test"):
        labels = arrays[f"{split}_labels"]
        wrong = np.flatnonzero((labels < 0) | (labels >= dataset.num_classes))
        if wrong.size:
            raise UserError(
                f"{name}: {split}_labels[{wrong[0]}] is {labels[wrong[0]]}, allowed are 0 to "
                f"{dataset.num_classes - 1} ({wrong.size} labels are out of range): number the classes from 0"
            )
    present = np.unique(arrays["train_labels"])
    missing = dataset.num_classes - len(present)
    if missing:
        # All labels are in range, so the first gap in the sorted labels is the first class without an image.
        gaps = np.flatnonzero(present != np.arange(len(present)))
        first = gaps[0] if gaps.size else len(present)
        raise UserError(
            f"{name}: {missing} of {dataset.num_classes} classes have no training image, the first is class "
            f"{first}: add images of it to train_images, or number the classes 0, 1, 2, ... without gaps"
        )
    _check_statistics(dataset)
    return replace(dataset, **arrays)


def check_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The four arrays of a data set, contiguous and labels as int64; UserError for wrong types and shapes."""
    checked = {}
    for split in ("train", "test"):
        images = checked[f"{split}_images"] = _check_images(
            f"{name}: {split}_images", arrays[f"{split}_images"]
        )
        checked[f"{split}_labels"] = _check_labels(
            f"{name}: {split}_labels", arrays[f"{split}_labels"], len(images)
        )
    train_size, test_size = checked["train_images"].shape[1], checked["test_images"].shape[1]
    if train_size != test_size:
        raise UserError(
            f"{name}: train_images are {train_size} x {train_size}, test_images {test_size} x {test_size}; "
            "both must have the same size: scale one of them"
        )
    return checked


def channel_statistics(images: np.ndarray) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel of uint8 images (n, H, W, 3), in units where white is 1."""
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(images), 1000):  # a float copy of a whole data set would not fit everywhere
        part = images[start : start + 1000]
        for channel in range(3):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(std.tolist())


def _check_images(what: str, images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    allowed = "allowed is uint8 (n, 32, 32, 3) or (n, 64, 64, 3)"
    found = f"{images.dtype} {images.shape}"
    if np.issubdtype(images.dtype, np.floating) and np.isnan(images).any():
        raise UserError(
            f"{what} is {found} and has NaN (not-a-number) pixels, {allowed}: repair the images, then store "
            "them as uint8 from 0 to 255"
        )
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 1):
        raise UserError(
            f"{what} is {found}, which are grey images, {allowed}: repeat the grey channel three times with "
            "np.repeat(images.reshape(n, H, W, 1), 3, axis=3)"
        )
    if images.ndim == 4 and images.shape[1] == 3 and images.shape[3] != 3:
        raise UserError(
            f"{what} is {found}, with the channels before height and width, {allowed}: reorder them with "
            "images.transpose(0, 2, 3, 1)"
        )
    if images.ndim == 4 and images.shape[3] == 4:
        raise UserError(
            f"{what} is {found}, with four channels, {allowed}: drop the alpha channel, images[..., :3]"
        )
    if images.ndim != 4 or images.shape[3] != 3:
        raise UserError(f"{what} is {found}, {allowed}: store one RGB image per row of the array")
    if images.dtype != np.uint8:
        raise UserError(
            f"{what} is {found}, {allowed}: pixels are whole numbers from 0 to 255, so for values from 0 to "
            "1 use (images * 255).round().astype(np.uint8)"
        )
    if len(images) == 0:
        raise UserError(f"{what} is empty, {allowed} with n at least 1: put images into this split")
    if images.shape[1] != images.shape[2] or images.shape[1] not in IMAGE_SIZES:
        raise UserError(f"{what} is {found}, {allowed}: scale the images to 32 x 32 or 64 x 64")
    return np.ascontiguousarray(images)


def _check_labels(what: str, labels: np.ndarray, count: int) -> np.ndarray:
    labels = np.asarray(labels)
    allowed = f"allowed is one integer per image, shape ({count},)"
    found = f"{labels.dtype} {labels.shape}"
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        raise UserError(
            f"{what} is {found}, {allowed}: turn one column per class into class numbers with "
            "labels.argmax(axis=1)"
        )
    if labels.ndim != 1 or len(labels) != count:
        raise UserError(
            f"{what} is {found}, {allowed}: give each image its label, in the order of the images"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{what} is {found}, {allowed}: store class numbers counted from 0, as labels.astype(np.int64)"
        )
    return np.ascontiguousarray(labels, np.int64)


def _check_statistics(dataset: DataSet) -> None:
    for what, values, smallest in (("mean", dataset.mean, 0.0), ("std", dataset.std, 1e-6)):
        if len(values) != 3 or not all(smallest <= value <= 1 for value in values):
            raise UserError(
                f"{dataset.name}: {what} is {tuple(values)}, allowed are three numbers from {smallest:g} to "
                "1: a standard deviation of 0 means that all images are of one colour, check the images"
            )
