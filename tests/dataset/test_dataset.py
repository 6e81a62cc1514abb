"""The data sets by name: the digits, and a user's own."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset import dataset_dict, load_dataset
from dataset.base import channel_statistics
from helper.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
LABELS = np.tile(np.arange(3), 4)


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


def test_npz_brings_a_users_own_data(tmp_path: Path, small_arrays: Callable) -> None:
    arrays = small_arrays(64, classes=5)
    np.savez(tmp_path / "dataset.npz", **arrays)
    np.savez_compressed(tmp_path / "other.npz", **arrays)
    for place in (tmp_path, tmp_path / "other.npz", str(tmp_path / "dataset.npz")):
        dataset = load_dataset("npz", place)
        assert dataset.num_classes == 5
        assert np.allclose(dataset.mean, (arrays["train_images"] / 255).mean(axis=(0, 1, 2)))
        for name, array in arrays.items():
            assert np.array_equal(getattr(dataset, name), array)


def test_npz_may_name_its_classes(tmp_path: Path, small_arrays: Callable) -> None:
    file = tmp_path / "dataset.npz"
    np.savez(file, **small_arrays())
    assert load_dataset("npz", file).class_names is None
    np.savez(file, **small_arrays(), class_names=np.array(["cat", "dog", "naïve"]))
    assert load_dataset("npz", file).class_names == ("cat", "dog", "naïve")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (np.array(["cat", "dog"]), r"npz: class_names are 2, .*allowed is one per class \(3\)"),
        (np.array(["cat", "dog", ""]), "npz: class_names are 3, 2 of them not empty"),
        (np.arange(3), r"dataset\.npz: class_names is int64 \(3,\), allowed are strings"),
        (np.array([["cat"], ["dog"], ["cow"]]), r"class_names is <U3 \(3, 1\), allowed are strings"),
        (np.array(["cat", "dog", "cow"], dtype=object), "cannot be read"),
    ],
)
def test_wrong_class_names_are_refused(
    tmp_path: Path, small_arrays: Callable, names: np.ndarray, words: str
) -> None:
    np.savez(tmp_path / "dataset.npz", **small_arrays(), class_names=names)
    with pytest.raises(UserError, match=words):
        load_dataset("npz", tmp_path)


def test_npz_says_what_lies_there_instead(tmp_path: Path) -> None:
    (tmp_path / "birds.npz").touch()
    (tmp_path / "birds.npy").touch()
    with pytest.raises(UserError, match=r"dataset\.npz does not exist.* give .*/birds\.npz, which is there"):
        load_dataset("npz", tmp_path)
    with pytest.raises(UserError, match=r"birds\.npy is a file of another kind"):
        load_dataset("npz", tmp_path / "birds.npy")


def test_a_constant_channel_can_be_trained_on(tmp_path: Path, small_arrays: Callable) -> None:
    arrays = small_arrays()
    for split in ("train", "test"):
        arrays[f"{split}_images"][..., 2] = 77
    np.savez(tmp_path / "dataset.npz", **arrays)
    dataset = load_dataset("npz", tmp_path)
    assert dataset.std[2] == 1
    assert dataset.mean[2] == 77 / 255
    assert min(dataset.std[:2]) > 0.2
    for split in ("train", "test"):
        arrays[f"{split}_images"][:] = [1, 2, 3]
    np.savez(tmp_path / "dataset.npz", **arrays)
    with pytest.raises(UserError, match="all images are of one colour"):
        load_dataset("npz", tmp_path)


def test_digits_and_cifar100_know_their_classes() -> None:
    from dataset.cifar100 import CLASS_NAMES

    assert load_dataset("digits", "unused").class_names == tuple("0123456789")
    names = CLASS_NAMES.split()
    assert len(names) == len(set(names)) == 100
    assert names == sorted(names)


def run_with(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A program of its own, in the C locale without Python's way around it."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=os.environ | plain | environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=120,
    )


def test_names_and_flags_are_known_before_anything_slow_is_imported() -> None:
    program = """
import sys
from dataset import dataset_dict, load_dataset
from helper.arguments import Parser
parser = Parser("")
parser.add_flags("dataset.data:DataSettings", "data", choices={"dataset": dataset_dict})
print(*list(dataset_dict), vars(parser.parse_args([])))
sys.exit(bool({"torch", "numpy", "torchvision", "sklearn"} & set(sys.modules)))
"""
    ended = run_with(program)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("cifar100 digits npz {'dataset': 'cifar100', ")


@pytest.mark.parametrize("name", ["npz", "cifar100"])
def test_paths_may_be_no_utf8_in_any_locale(odd_folder: Path, small_arrays: Callable, name: str) -> None:
    program = """
import sys
from dataset import load_dataset
from helper.errors import run_script
run_script(lambda: print(load_dataset(sys.argv[1], sys.argv[2]).num_classes))
"""
    file = {"npz": "dataset.npz", "cifar100": "cifar100.npz"}[name]
    np.savez(odd_folder / file, **small_arrays())
    ended = run_with(program, name, str(odd_folder))
    if name == "npz":
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")
    else:  # the file is found and read, and is not CIFAR-100
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert r"donn\udce9es/cifar100.npz: train_images is uint8 (12, 32, 32, 3)" in ended.stderr
    (odd_folder / file).write_bytes(b"")
    ended = run_with(program, name, str(odd_folder))
    assert ended.returncode == 2
    assert rf"donn\udce9es/{file} cannot be read" in ended.stderr


def test_npz_names_what_is_missing(tmp_path: Path, small_arrays: Callable) -> None:
    with pytest.raises(UserError, match=r"dataset\.npz does not exist.*np\.savez"):
        load_dataset("npz", tmp_path)
    with pytest.raises(UserError, match=r"absent\.npz does not exist"):
        load_dataset("npz", tmp_path / "absent.npz")
    arrays = small_arrays()
    del arrays["test_labels"]
    np.savez(tmp_path / "dataset.npz", **arrays)
    with pytest.raises(UserError, match=r"dataset\.npz lacks test_labels \(found: test_images, train_images"):
        load_dataset("npz", tmp_path)


def test_npz_checks_the_arrays_before_it_computes_with_them(tmp_path: Path, small_arrays: Callable) -> None:
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
def test_arrays_of_objects_are_refused_and_not_run(tmp_path: Path, name: str, small_arrays: Callable) -> None:
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
def test_what_is_no_archive_is_refused(tmp_path: Path, damage: str, small_arrays: Callable) -> None:
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
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, small_arrays: Callable
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
