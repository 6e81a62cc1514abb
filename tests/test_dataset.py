"""Data sets: what is accepted, and what is refused with which words."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset import dataset_dict, load_dataset
from dataset.base import DataSet, channel_statistics, check
from dataset.cifar100 import MEAN, STD
from helper.errors import UserError


def small_arrays(size: int = 32, classes: int = 3, per_class: int = 4) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        labels = np.tile(np.arange(classes), per_class)
        arrays[f"{split}_images"] = random.integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = labels
    return arrays


def small_dataset(**changes: object) -> DataSet:
    settings = {"name": "small", "num_classes": 3, "mean": MEAN, "std": STD}
    return DataSet(**{**settings, **small_arrays(), **changes})


def refusal(dataset: DataSet) -> str:
    with pytest.raises(UserError) as caught:
        check(dataset)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("small: ")
    return message


@pytest.mark.parametrize("size", [32, 64])
def test_a_good_data_set_passes_unchanged(size: int) -> None:
    arrays = small_arrays(size)
    checked = check(small_dataset(**arrays))
    for name, array in arrays.items():
        assert np.array_equal(getattr(checked, name), array)


def test_small_label_types_become_int64_and_views_contiguous() -> None:
    arrays = small_arrays()
    checked = check(
        small_dataset(
            train_labels=arrays["train_labels"].astype(np.uint8), train_images=arrays["train_images"][:, ::-1]
        )
    )
    assert checked.train_labels.dtype == np.int64
    assert checked.train_images.flags.c_contiguous
    assert np.array_equal(checked.train_images, arrays["train_images"][:, ::-1])


ZEROS = np.zeros((12, 32, 32, 3), np.uint8)
NOT_A_NUMBER = np.full((12, 32, 32, 3), np.nan, np.float32)
IMAGES = {
    "float": (ZEROS.astype(np.float32), ["float32", "uint8", "astype(np.uint8)"]),
    "wide integers": (ZEROS.astype(np.int64), ["int64", "uint8"]),
    "NaN": (NOT_A_NUMBER, ["NaN", "float32", "uint8"]),
    "grey without channel": (ZEROS[..., 0], ["(12, 32, 32)", "grey", "np.repeat"]),
    "grey with channel": (ZEROS[..., :1], ["(12, 32, 32, 1)", "grey", "np.repeat"]),
    "channels first": (ZEROS.transpose(0, 3, 1, 2), ["(12, 3, 32, 32)", "transpose(0, 2, 3, 1)"]),
    "alpha": (np.zeros((12, 32, 32, 4), np.uint8), ["four channels", "images[..., :3]"]),
    "flat": (ZEROS.reshape(12, -1), ["(12, 3072)", "(n, 32, 32, 3)"]),
    "small": (np.zeros((12, 28, 28, 3), np.uint8), ["(12, 28, 28, 3)", "32 x 32 or 64 x 64"]),
    "not square": (np.zeros((12, 32, 64, 3), np.uint8), ["(12, 32, 64, 3)", "32 x 32 or 64 x 64"]),
    "empty": (ZEROS[:0], ["is empty"]),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", IMAGES)
def test_wrong_images_are_named(split: str, case: str) -> None:
    images, words = IMAGES[case]
    message = refusal(small_dataset(**{f"{split}_images": images}))
    for word in [f"{split}_images", *words]:
        assert word in message


def test_grey_images_converted_as_told_are_accepted() -> None:
    grey = small_arrays()["train_images"][..., 0]
    check(small_dataset(train_images=np.repeat(grey.reshape(12, 32, 32, 1), 3, axis=3)))


LABELS = np.tile(np.arange(3), 4)
WRONG_LABELS = {
    "too large": (np.where(LABELS == 2, 3, LABELS), ["[2] is 3", "0 to 2", "4 labels"]),
    "negative": (LABELS - 1, ["[0] is -1", "0 to 2"]),
    "too few": (LABELS[:-1], ["(11,)", "(12,)"]),
    "float": (LABELS.astype(np.float64), ["float64", "astype(np.int64)"]),
    "truth values": (LABELS > 0, ["bool", "astype(np.int64)"]),
    "names": (LABELS.astype("U1"), ["<U1", "integer"]),
    "one-hot": (np.eye(3, dtype=np.int64)[LABELS], ["(12, 3)", "argmax(axis=1)"]),
    "column": (LABELS[:, None], ["(12, 1)", "(12,)"]),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", WRONG_LABELS)
def test_wrong_labels_are_named(split: str, case: str) -> None:
    labels, words = WRONG_LABELS[case]
    message = refusal(small_dataset(**{f"{split}_labels": labels}))
    for word in [f"{split}_labels", *words]:
        assert word in message


@pytest.mark.parametrize(("missing", "first"), [([1], 1), ([2], 2), ([0, 1], 0)])
def test_missing_classes_are_named(missing: list[int], first: int) -> None:
    labels = np.where(np.isin(LABELS, missing), ({0, 1, 2} - set(missing)).pop(), LABELS)
    message = refusal(small_dataset(train_labels=labels))
    assert f"{len(missing)} of 3 classes" in message
    assert f"class {first}:" in message


def test_a_class_may_be_missing_from_the_test_images() -> None:
    check(small_dataset(test_labels=np.zeros(12, np.int64)))


def test_one_class_is_refused() -> None:
    zeros = np.zeros(12, np.int64)
    assert "num_classes is 1" in refusal(small_dataset(train_labels=zeros, test_labels=zeros, num_classes=1))


def test_different_sizes_of_training_and_test_images_are_refused() -> None:
    message = refusal(small_dataset(test_images=small_arrays(64)["test_images"]))
    assert "32 x 32" in message
    assert "64 x 64" in message


@pytest.mark.parametrize(
    ("what", "values"),
    [("std", (0.2, 0.0, 0.2)), ("mean", (0.5, float("nan"), 0.5)), ("mean", (125.0, 120.0, 110.0))],
)
def test_impossible_normalisation_is_refused(what: str, values: tuple[float, float, float]) -> None:
    assert f"{what} is" in refusal(small_dataset(**{what: values}))


def test_channel_statistics_are_those_of_the_pixels() -> None:
    images = np.random.default_rng(1).integers(0, 200, (1501, 8, 8, 3), dtype=np.uint8)
    images[..., 1] //= 2
    mean, std = channel_statistics(images)
    assert np.allclose(mean, (images / 255).mean(axis=(0, 1, 2)), atol=1e-12)
    assert np.allclose(std, (images / 255).std(axis=(0, 1, 2)), atol=1e-12)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"imagenet.*cifar100, digits, npz"):
        load_dataset("imagenet", tmp_path)
    assert list(dataset_dict) == ["cifar100", "digits", "npz"]


def test_digits_are_the_real_ones_in_a_fixed_stratified_split(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_dataset("digits", tmp_path / "not needed")
    assert digits.train_images.shape == (1437, 32, 32, 3)
    assert digits.test_images.shape == (360, 32, 32, 3)
    assert (digits.num_classes, digits.padding, digits.flip) == (10, 4, False)
    train, test = (np.bincount(labels, minlength=10) for labels in (digits.train_labels, digits.test_labels))
    assert np.abs(test / 360 - train / 1437).max() < 0.003

    # Every image of scikit-learn is there exactly once, bilinearly scaled, so that the parts do not overlap.
    bundled = load_digits()
    positions = (np.arange(32) + 0.5) / 4 - 0.5
    scaling = np.stack([np.interp(positions, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    scaled = np.rint(scaling @ (bundled.images * (255 / 16)) @ scaling.T).astype(np.uint8)
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    found = sorted((grey.tobytes(), label) for grey, label in zip(images[..., 0], labels, strict=True))
    assert found == sorted(
        (grey.tobytes(), label) for grey, label in zip(scaled, bundled.target, strict=True)
    )
    assert len(set(found)) == len(found)
    assert (images == images[..., :1]).all()

    again = load_dataset("digits", tmp_path)
    assert np.array_equal(again.test_images, digits.test_images)
    assert digits.mean == again.mean
    assert np.allclose(digits.mean, (digits.train_images / 255).mean(), atol=1e-9)


def test_npz_brings_a_users_own_data(tmp_path: Path) -> None:
    arrays = small_arrays(64, classes=5)
    np.savez(tmp_path / "dataset.npz", **arrays)
    np.savez_compressed(tmp_path / "other.npz", **arrays)
    for place in (tmp_path, tmp_path / "other.npz", str(tmp_path / "dataset.npz")):
        dataset = load_dataset("npz", place)
        assert dataset.num_classes == 5
        assert np.allclose(dataset.mean, (arrays["train_images"] / 255).mean(axis=(0, 1, 2)))
        for name, array in arrays.items():
            assert np.array_equal(getattr(dataset, name), array)


def test_npz_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.npz does not exist.*np\.savez"):
        load_dataset("npz", tmp_path)
    with pytest.raises(UserError, match=r"absent\.npz does not exist"):
        load_dataset("npz", tmp_path / "absent.npz")
    arrays = small_arrays()
    del arrays["test_labels"]
    np.savez(tmp_path / "dataset.npz", **arrays)
    with pytest.raises(UserError, match=r"dataset\.npz lacks test_labels \(found: test_images, train_images"):
        load_dataset("npz", tmp_path)


def test_npz_checks_the_arrays_before_it_computes_with_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "dataset.npz", **{**small_arrays(), "train_labels": np.zeros(0)})
    with pytest.raises(UserError, match=r"dataset\.npz: train_labels is float64 \(0,\)"):
        load_dataset("npz", tmp_path)
    np.savez(tmp_path / "dataset.npz", **{**small_arrays(), "test_labels": LABELS * 10**12})
    with pytest.raises(UserError, match="classes have no training image"):
        load_dataset("npz", tmp_path)


class Explosive:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["cifar100", "npz"])
def test_arrays_of_objects_are_refused_and_not_run(tmp_path: Path, name: str) -> None:
    proof = tmp_path / "executed"
    objects = np.array([Explosive(proof)] * 12, dtype=object)
    file = tmp_path / ("cifar100.npz" if name == "cifar100" else "dataset.npz")
    np.savez(file, **{**small_arrays(), "train_labels": objects})
    with pytest.raises(UserError, match=f"{file.name} cannot be read.*allow_pickle"):
        load_dataset(name, tmp_path)
    file.write_bytes(pickle.dumps(Explosive(proof)))
    with pytest.raises(UserError, match=f"{file.name} cannot be read"):
        load_dataset(name, tmp_path)
    assert not proof.exists()


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "single array", "folder"])
def test_what_is_no_archive_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "dataset.npz"
    if damage == "folder":
        file.mkdir()
    elif damage == "single array":
        with open(file, "wb") as opened:
            np.save(opened, np.zeros(3))
    else:
        np.savez(file, **small_arrays())
        content = {"empty": b"", "truncated": file.read_bytes()[:-2000], "text": b"not found\n"}
        file.write_bytes(content[damage])
    with pytest.raises(UserError, match=r"dataset\.npz cannot be read"):
        load_dataset("npz", file if damage != "folder" else tmp_path)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_flipped_byte_is_found_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "flipped.npz"
    arrays = small_arrays(per_class=1)
    np.savez(file, **arrays)
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        dataset = load_dataset("npz", file)
    except UserError as error:
        assert "\n" not in str(error)
    else:  # bytes of the archive that carry no data, such as time stamps
        assert all(np.array_equal(getattr(dataset, name), array) for name, array in arrays.items())
