"""What a data set must fulfil before anything is trained on it, and what to do where it does not."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dataset.base import ARRAY_NAMES, IMAGE_SIZES, DataSet
from helper.errors import UserError


def check(dataset: DataSet) -> DataSet:
    """The data set with contiguous images and int64 labels; UserError if it cannot be trained on."""
    name = dataset.name
    arrays = check_arrays(name, {array: getattr(dataset, array) for array in ARRAY_NAMES})
    if dataset.num_classes < 2:
        raise UserError(
            f"{name}: num_classes is {dataset.num_classes}; classification needs at least 2 classes: "
            "check the labels, which count from 0"
        )
    _check_content(dataset, arrays["train_labels"], arrays["test_labels"])
    return replace(dataset, **arrays)


def check_pictures(dataset: Any) -> Any:
    """Pictures from files, or what `check` makes of arrays; UserError if they cannot be trained on."""
    if isinstance(dataset, DataSet):
        return check(dataset)
    _check_content(dataset, dataset.train.labels, dataset.test.labels)
    return dataset


def _check_content(dataset: Any, train: np.ndarray, test: np.ndarray) -> None:
    """Raise UserError unless labels, names and statistics fit each other."""
    for split, labels in (("train", train), ("test", test)):
        wrong = np.flatnonzero((labels < 0) | (labels >= dataset.num_classes))
        if wrong.size:
            raise UserError(
                f"{dataset.name}: {split}_labels[{wrong[0]}] is {labels[wrong[0]]}, allowed are 0 to "
                f"{dataset.num_classes - 1} ({wrong.size} labels are out of range): number the classes from 0"
            )
    _check_classes(dataset.name, train, dataset.num_classes)
    _check_names(dataset)
    _check_statistics(dataset)


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


def _check_images(what: str, images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    allowed = "allowed is uint8 (n, 32, 32, 3) or (n, 64, 64, 3)"
    found = f"{images.dtype} {images.shape}"
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        kind = "NaN (not-a-number)" if np.isnan(images).any() else "infinite"
        raise UserError(
            f"{what} is {found} and has {kind} pixels, {allowed}: repair the images, then store "
            "them as uint8 from 0 to 255"
        )
    if images.ndim != 4 or images.shape[3] != 3:
        kind, advice = _advice_on_layout(images.shape)
        raise UserError(f"{what} is {found}, {kind}{allowed}: {advice}")
    if images.size and images.dtype != np.uint8:
        raise UserError(f"{what} is {found}, {allowed}: {_advice_on_pixels(images)}")
    if len(images) == 0:
        raise UserError(f"{what} is empty, {allowed} with n at least 1: put images into this split")
    if images.shape[1] != images.shape[2] or images.shape[1] not in IMAGE_SIZES:
        raise UserError(f"{what} is {found}, {allowed}: scale the images to 32 x 32 or 64 x 64")
    return np.ascontiguousarray(images)


def _advice_on_layout(shape: tuple[int, ...]) -> tuple[str, str]:
    """What images of a wrong shape seem to be, and how to bring them into the right one."""
    pixels = {channels * size * size: (channels, size) for channels in (1, 3) for size in IMAGE_SIZES}
    match shape:
        case (height, width, 3) if height == width:
            return "a single image, ", "give it a dimension of its own with images[None]"
        case (_, _, _) | (_, _, _, 1) | (_, 1, _, _):
            return "which are grey images, ", (
                "repeat the grey channel three times with np.repeat(images.reshape(n, H, W, 1), 3, axis=3)"
            )
        case (_, 3, _, _):
            return "with the channels before height and width, ", (
                "reorder them with images.transpose(0, 2, 3, 1)"
            )
        case (height, width, 3, _) if height == width:
            return "with the images in the last dimension, ", (
                "reorder them with images.transpose(3, 0, 1, 2)"
            )
        case (_, _, _, 4):
            return "with four channels, ", "drop the alpha channel, images[..., :3]"
        case (_, 4, _, _):
            return "with four channels before height and width, ", (
                "drop the alpha channel and reorder them, images[:, :3].transpose(0, 2, 3, 1)"
            )
        case (_, count) if count in pixels and pixels[count][0] == 3:
            size = pixels[count][1]
            return "a row of numbers per image, ", (
                f"images.reshape(-1, 3, {size}, {size}).transpose(0, 2, 3, 1) if all of red comes first, as "
                f"in CIFAR's files, else images.reshape(-1, {size}, {size}, 3)"
            )
        case (_, count) if count in pixels:
            size = pixels[count][1]
            return "a row of numbers per grey image, ", (
                f"np.repeat(images.reshape(-1, {size}, {size}, 1), 3, axis=3)"
            )
    return "", "store one RGB image per row of the array"


def _advice_on_pixels(images: np.ndarray) -> str:
    """How to make uint8 from 0 to 255 of pixels of another type."""
    kind = images.dtype.kind
    if kind not in "biuf":
        return "store the pixels as numbers from 0 to 255"
    smallest, largest = float(images.min()), float(images.max())
    if kind == "b" or (smallest >= 0 and largest <= 1 and (kind == "f" or largest == 1)):
        way = "(images * 255.0).round().astype(np.uint8)"
    elif smallest >= 0 and largest <= 255:
        way = "images.round().astype(np.uint8)" if kind == "f" else "images.astype(np.uint8)"
    elif images.dtype == np.int8:
        way = "images.view(np.uint8), if bytes were read as signed numbers"
    elif smallest >= 0 and largest <= 65535 and kind != "f":
        way = "(images // 257).astype(np.uint8), if these are 16 bits per channel"
    else:
        way = "what undoes their scaling, like images * std + mean after a normalisation, then round to uint8"
    return f"pixels are whole numbers from 0 to 255, these are from {smallest:g} to {largest:g}: use {way}"


def _check_labels(what: str, labels: np.ndarray, count: int) -> np.ndarray:
    labels = np.asarray(labels)
    allowed = f"allowed is one integer per image, shape ({count},)"
    found = f"{labels.dtype} {labels.shape}"
    if labels.ndim == 2 and labels.size == count and 1 in labels.shape:
        labels = labels.reshape(count)
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        raise UserError(f"{what} is {found}, {allowed}: {_advice_on_columns(labels)}")
    if labels.ndim != 1 or len(labels) != count:
        raise UserError(
            f"{what} is {found}, {allowed}: give each image its label, in the order of the images"
        )
    if labels.dtype.kind not in "iu":
        raise UserError(f"{what} is {found}, {allowed}: {_advice_on_labels(labels)}")
    if labels.dtype == np.uint64:
        labels = np.minimum(labels, np.uint64(np.iinfo(np.int64).max))
    return np.ascontiguousarray(labels, np.int64)


def _advice_on_columns(labels: np.ndarray) -> str:
    """How to make class numbers of labels with several columns."""
    if labels.dtype.kind in "biu" and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) != 1).any():
        return (
            "some images have several classes or none; every image needs exactly one: leave the others out, "
            "then labels.argmax(axis=1)"
        )
    if labels.dtype.kind in "iuUS" and not np.isin(labels, (0, 1)).all():
        return "choose the column that holds the classes, like labels[:, 0]"
    return "turn one column per class into class numbers with labels.argmax(axis=1)"


def _advice_on_labels(labels: np.ndarray) -> str:
    """How to make class numbers of labels that are no integers."""
    try:
        numbers = labels.astype(np.float64)
    except (TypeError, ValueError):
        return (
            "turn names into class numbers, over both splits: class_names, numbers = "
            "np.unique(np.concatenate([train_labels, test_labels]), return_inverse=True)"
        )
    if labels.size and not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
        return "these are no class numbers (whole ones, counted from 0): a value to be predicted is no class"
    return "store class numbers counted from 0, as labels.astype(np.int64)"


def _check_classes(name: str, labels: np.ndarray, num_classes: int) -> None:
    """Every class needs a training image."""
    present = np.unique(labels)
    missing = num_classes - len(present)
    if not missing:
        return
    # All labels are in range, so the first gap in the sorted labels is the first class without an image.
    gaps = np.flatnonzero(present != np.arange(len(present)))
    first = gaps[0] if gaps.size else len(present)
    from_one = " (labels that count from 1: labels - 1)" if first == 0 and missing == 1 else ""
    raise UserError(
        f"{name}: {missing} of {num_classes} classes have no training image, the first is class {first}: add "
        f"images of it to train_images, or number the classes 0, 1, 2, ... without gaps{from_one}"
    )


def _check_names(dataset: DataSet) -> None:
    names = dataset.class_names
    if names is not None and (len(names) != dataset.num_classes or not all(names)):
        raise UserError(
            f"{dataset.name}: class_names are {len(names)}, {sum(map(bool, names))} of them not empty; "
            f"allowed is one per class ({dataset.num_classes}), in the order of their numbers, or no names"
        )


def _check_statistics(dataset: DataSet) -> None:
    for what, values, smallest in (("mean", dataset.mean, 0.0), ("std", dataset.std, 1e-6)):
        if len(values) == 3 and all(smallest <= value <= 1 for value in values):
            continue
        if what == "std" and not any(values):
            advice = "a standard deviation of 0 means that all images are of one colour, check the images"
        elif what == "std" and 0 in values:
            advice = "a standard deviation of 0 means that a channel has one value only: give it 1"
        else:
            advice = "one per channel, in units where white is 1: divide by 255 what counts from 0 to 255"
        raise UserError(
            f"{dataset.name}: {what} is {tuple(values)}, allowed are three numbers from {smallest:g} to 1: "
            f"{advice}"
        )
