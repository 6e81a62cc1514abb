"""What a data set must be: what is accepted, what is refused, and whether the advice given mends it."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from dataset.base import DataSet
from dataset.check import check
from helper.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
IMAGES[0, 0, 0] = 0, 1, 255
LABELS = np.tile(np.arange(3), 4)
NAMES = np.array(["ant", "bee", "cat"])[LABELS]
PLANES = IMAGES.transpose(0, 3, 1, 2)


def refusal(dataset: DataSet) -> str:
    """The line with which a data set is refused."""
    with pytest.raises(UserError) as caught:
        check(dataset)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("small: ")
    return message


@pytest.mark.parametrize("size", [32, 64])
def test_a_good_data_set_passes_unchanged(size: int, small_arrays: Callable, small_dataset: Callable) -> None:
    arrays = small_arrays(size)
    checked = check(small_dataset(**arrays))
    assert checked.image_size == size
    for name, array in arrays.items():
        assert np.array_equal(getattr(checked, name), array)


def test_small_label_types_become_int64_and_views_contiguous(small_dataset: Callable) -> None:
    checked = check(small_dataset(train_labels=LABELS.astype(np.uint8), train_images=IMAGES[:, ::-1]))
    assert checked.train_labels.dtype == np.int64
    assert checked.train_images.flags.c_contiguous
    assert np.array_equal(checked.train_images, IMAGES[:, ::-1])


@pytest.mark.parametrize("shape", [(12, 1), (1, 12)])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_labels_in_one_column_or_row_are_accepted(
    small_dataset: Callable, shape: tuple[int, int], dtype: type
) -> None:
    column = LABELS.reshape(shape).astype(dtype)
    checked = check(small_dataset(train_labels=column, test_labels=column))
    assert np.array_equal(checked.train_labels, LABELS)
    assert np.array_equal(checked.test_labels, LABELS)
    assert checked.train_labels.dtype == np.int64


# wrong images, what the refusal says of them, the code that it advises, and what this must make of them
WRONG_IMAGES = {
    "int64": (IMAGES.astype(np.int64), ["int64", "from 0 to 255"], "images.astype(np.uint8)", IMAGES),
    "uint16 bytes": (
        IMAGES.astype(np.uint16),
        ["uint16", "from 0 to 255"],
        "images.astype(np.uint8)",
        IMAGES,
    ),
    "16 bits": (IMAGES.astype(np.uint16) * 257, ["0 to 65535"], "(images // 257).astype(np.uint8)", IMAGES),
    "signed bytes": (IMAGES.view(np.int8), ["int8", "-128 to 127"], "images.view(np.uint8)", IMAGES),
    "0 to 1": (
        (IMAGES / 255).astype(np.float32),
        ["float32", "from 0 to 1"],
        "(images * 255.0).round().astype(np.uint8)",
        IMAGES,
    ),
    "floats to 255": (
        IMAGES + np.float32(0.25),
        ["float32", "from 0.25 to 255.25"],
        "what undoes their scaling",
        None,
    ),
    "whole floats": (
        IMAGES.astype(np.float64),
        ["float64", "from 0 to 255"],
        "images.round().astype(np.uint8)",
        IMAGES,
    ),
    "black and white": (
        IMAGES > 127,
        ["bool", "from 0 to 1"],
        "(images * 255.0).round().astype(np.uint8)",
        np.where(IMAGES > 127, 255, 0),
    ),
    "zeros and ones": (
        (IMAGES > 127).astype(np.int32),
        ["int32", "from 0 to 1"],
        "(images * 255.0).round().astype(np.uint8)",
        np.where(IMAGES > 127, 255, 0),
    ),
    "normalised": (
        ((IMAGES / 255 - 0.5) / 0.25).astype(np.float32),
        ["from -2 to 2"],
        "images * std + mean after a normalisation",
        None,
    ),
    "objects": (IMAGES.astype(object), ["object"], "store the pixels as numbers from 0 to 255", None),
    "NaN": (np.full(IMAGES.shape, np.nan), ["NaN", "float64"], "repair the images", None),
    "infinite": (np.full(IMAGES.shape, np.inf), ["infinite", "float64"], "repair the images", None),
    "grey without channel": (
        IMAGES[..., 0],
        ["(12, 32, 32)", "grey"],
        "np.repeat(images.reshape(n, H, W, 1), 3, axis=3)",
        IMAGES[..., [0, 0, 0]],
    ),
    "grey with channel": (
        IMAGES[..., :1],
        ["(12, 32, 32, 1)", "grey"],
        "np.repeat(images.reshape(n, H, W, 1), 3, axis=3)",
        IMAGES[..., [0, 0, 0]],
    ),
    "grey with channel first": (
        PLANES[:, :1],
        ["(12, 1, 32, 32)", "grey"],
        "np.repeat(images.reshape(n, H, W, 1), 3, axis=3)",
        IMAGES[..., [0, 0, 0]],
    ),
    "channels first": (PLANES, ["(12, 3, 32, 32)"], "images.transpose(0, 2, 3, 1)", IMAGES),
    "images last": (np.moveaxis(IMAGES, 0, 3), ["(32, 32, 3, 12)"], "images.transpose(3, 0, 1, 2)", IMAGES),
    "alpha": (np.pad(IMAGES, ((0, 0),) * 3 + ((0, 1),)), ["four channels"], "images[..., :3]", IMAGES),
    "alpha first": (
        np.pad(PLANES, ((0, 0), (0, 1), (0, 0), (0, 0))),
        ["four channels before"],
        "images[:, :3].transpose(0, 2, 3, 1)",
        IMAGES,
    ),
    "rows of planes": (
        PLANES.reshape(12, -1),
        ["(12, 3072)", "red comes first"],
        "images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)",
        IMAGES,
    ),
    "rows of pixels": (IMAGES.reshape(12, -1), ["(12, 3072)"], "images.reshape(-1, 32, 32, 3)", IMAGES),
    "grey rows": (
        IMAGES[..., 0].reshape(12, -1),
        ["(12, 1024)"],
        "np.repeat(images.reshape(-1, 32, 32, 1), 3, axis=3)",
        IMAGES[..., [0, 0, 0]],
    ),
    "one image": (IMAGES[0], ["(32, 32, 3)", "a single image"], "images[None]", IMAGES[:1]),
    "small": (IMAGES[:, :28, :28], ["(12, 28, 28, 3)"], "scale the images to 32 x 32 or 64 x 64", None),
    "not square": (IMAGES[:, :24], ["(12, 24, 32, 3)"], "scale the images to 32 x 32 or 64 x 64", None),
    "empty": (IMAGES[:0], ["is empty"], "put images into this split", None),
    "scalars": (np.arange(12), ["int64 (12,)"], "store one RGB image per row of the array", None),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_wrong_images_are_named_and_the_advice_mends_them(
    split: str, case: str, small_dataset: Callable
) -> None:
    images, words, advice, mended = WRONG_IMAGES[case]
    message = refusal(small_dataset(**{f"{split}_images": images}))
    for word in [f"{split}_images", *words, advice]:
        assert word in message
    if mended is not None:
        followed = eval(advice, {"np": np, "images": images, "n": 12, "H": 32, "W": 32})
        assert np.array_equal(followed, mended)
        assert followed.dtype == np.uint8
        if len(followed) == 12:
            check(small_dataset(**{f"{split}_images": followed}))


WRONG_LABELS = {
    "too large": (np.where(LABELS == 2, 3, LABELS), ["[2] is 3", "0 to 2", "4 labels"], None),
    "far too large": (LABELS.astype(np.uint64) + 2**63, ["9223372036854775807", "12 labels"], None),
    "negative": (LABELS - 1, ["[0] is -1", "0 to 2"], None),
    "too few": (LABELS[:-1], ["(11,)", "(12,)"], None),
    "float": (LABELS.astype(np.float64), ["float64"], "labels.astype(np.int64)"),
    "numbers as text": (LABELS.astype("U1"), ["<U1", "integer"], "labels.astype(np.int64)"),
    "one-hot": (np.eye(3, dtype=np.int64)[LABELS], ["(12, 3)"], "labels.argmax(axis=1)"),
    "probabilities": (np.eye(3)[LABELS] * 0.7 + 0.1, ["(12, 3)"], "labels.argmax(axis=1)"),
    "two kinds": (np.stack([LABELS, 7 * LABELS], axis=1), ["(12, 2)"], "labels[:, 0]"),
    "several at once": (np.ones((12, 3), np.int64), ["several classes"], None),
    "fractions": (LABELS + 0.5, ["no class numbers"], None),
    "not a number": (np.where(LABELS, np.nan, 1), ["no class numbers"], None),
    "a cube": (LABELS.reshape(3, 2, 2), ["(3, 2, 2)", "give each image its label"], None),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", WRONG_LABELS)
def test_wrong_labels_are_named_and_the_advice_mends_them(
    split: str, case: str, small_dataset: Callable
) -> None:
    labels, words, advice = WRONG_LABELS[case]
    message = refusal(small_dataset(**{f"{split}_labels": labels}))
    for word in [f"{split}_labels", *words, *([advice] if advice else [])]:
        assert word in message
    if advice:
        followed = eval(advice, {"np": np, "labels": labels})
        assert np.array_equal(followed, LABELS)
        check(small_dataset(**{f"{split}_labels": followed}))


def test_truth_values_are_two_classes(small_dataset: Callable) -> None:
    truth = LABELS > 0
    message = refusal(small_dataset(train_labels=truth, test_labels=truth, num_classes=2))
    assert "bool" in message
    assert "labels.astype(np.int64)" in message
    numbers = truth.astype(np.int64)
    check(small_dataset(train_labels=numbers, test_labels=numbers, num_classes=2))


def test_names_as_labels_become_numbers_over_both_splits(small_dataset: Callable) -> None:
    rare = np.where(LABELS == 0, "bee", NAMES)
    message = refusal(small_dataset(train_labels=NAMES, test_labels=rare))
    code = re.search(r"class_names, numbers = .*return_inverse=True\)", message)[0]
    scope = {"np": np, "train_labels": NAMES, "test_labels": rare}
    exec(code, scope)
    checked = check(
        small_dataset(
            train_labels=scope["numbers"][:12],
            test_labels=scope["numbers"][12:],
            class_names=tuple(scope["class_names"]),
        )
    )
    assert [checked.class_names[label] for label in checked.test_labels] == rare.tolist()


@pytest.mark.parametrize(("missing", "first"), [([1], 1), ([2], 2), ([0, 1], 0)])
def test_missing_classes_are_named(missing: list[int], first: int, small_dataset: Callable) -> None:
    labels = np.where(np.isin(LABELS, missing), ({0, 1, 2} - set(missing)).pop(), LABELS)
    message = refusal(small_dataset(train_labels=labels))
    assert f"{len(missing)} of 3 classes" in message
    assert f"class {first}:" in message


def test_labels_that_count_from_one_are_told_so(small_dataset: Callable) -> None:
    message = refusal(small_dataset(train_labels=LABELS + 1, test_labels=LABELS + 1, num_classes=4))
    assert "1 of 4 classes have no training image, the first is class 0" in message
    assert "labels - 1" in message


def test_a_class_may_be_missing_from_the_test_images(small_dataset: Callable) -> None:
    check(small_dataset(test_labels=np.zeros(12, np.int64)))


def test_one_class_is_refused(small_dataset: Callable) -> None:
    zeros = np.zeros(12, np.int64)
    assert "num_classes is 1" in refusal(small_dataset(train_labels=zeros, test_labels=zeros, num_classes=1))


def test_different_sizes_of_training_and_test_images_are_refused(
    small_arrays: Callable, small_dataset: Callable
) -> None:
    message = refusal(small_dataset(test_images=small_arrays(64)["test_images"]))
    assert "32 x 32" in message
    assert "64 x 64" in message


@pytest.mark.parametrize(
    ("what", "values", "advice"),
    [
        ("std", (0.2, 0.0, 0.2), "a channel has one value only: give it 1"),
        ("std", (0.0, 0.0, 0.0), "all images are of one colour"),
        ("std", (68.0, 65.0, 70.0), "divide by 255"),
        ("mean", (0.5, float("nan"), 0.5), "one per channel"),
        ("mean", (125.0, 120.0, 110.0), "divide by 255"),
        ("mean", (0.5, 0.5), "allowed are three numbers"),
    ],
)
def test_impossible_normalisation_is_refused(
    what: str, values: tuple[float, ...], advice: str, small_dataset: Callable
) -> None:
    message = refusal(small_dataset(**{what: values}))
    assert f"{what} is" in message
    assert advice in message


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", ""), ("a", "b", "c", "d")])
def test_class_names_must_be_as_many_as_classes(names: tuple[str, ...], small_dataset: Callable) -> None:
    assert "class_names are" in refusal(small_dataset(class_names=names))
    assert check(small_dataset(class_names=("a", "b", "c"))).class_names == ("a", "b", "c")
