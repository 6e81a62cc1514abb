"""CIFAR-100 from a file and through torchvision, whole and damaged, with and without a network."""

import dataclasses
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dataset import load_dataset
from dataset.base import DataSet, channel_statistics
from dataset.cifar100 import verified
from dataset.npz import read_arrays
from helper.errors import UserError


@pytest.fixture
def large_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for copies of the data set, which pytest would keep for three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_cifar100_is_the_published_one(cifar100_folder: Path) -> None:
    dataset = load_dataset("cifar100", cifar100_folder)
    assert dataset.train_images.shape == (50000, 32, 32, 3)
    assert dataset.test_images.shape == (10000, 32, 32, 3)
    assert (np.bincount(dataset.train_labels) == 500).all()
    assert (np.bincount(dataset.test_labels) == 100).all()
    assert (dataset.num_classes, dataset.padding, dataset.flip) == (100, 4, True)
    mean, _ = channel_statistics(dataset.train_images)
    assert np.allclose(mean, dataset.mean, atol=1e-3)


def test_one_wrong_label_is_found_and_another_integer_type_is_not_wrong(cifar100_folder: Path) -> None:
    arrays = read_arrays(cifar100_folder / "cifar100.npz")
    arrays["train_labels"] = arrays["train_labels"].astype(np.int32)
    assert verified(arrays, "here")["train_labels"].dtype == np.int64
    arrays["train_labels"][7] += 1
    with pytest.raises(UserError, match=r"here: train_labels is not CIFAR-100's \(SHA-256"):
        verified(arrays, "here")
    arrays["train_images"][0, 0, 0, 0] ^= 1
    with pytest.raises(UserError, match=r"here: train_images is not CIFAR-100's \(SHA-256"):
        verified(arrays, "here")


def test_damage_in_the_file_is_found_by_the_archives_checksum(
    cifar100_folder: Path, large_folder: Path
) -> None:
    file = large_folder / "cifar100.npz"
    shutil.copyfile(cifar100_folder / "cifar100.npz", file)
    with open(file, "r+b") as opened:
        opened.seek(90_000_000)
        byte = opened.read(1)[0]
        opened.seek(90_000_000)
        opened.write(bytes([byte ^ 1]))
    with pytest.raises(UserError, match=r"cifar100\.npz cannot be read.*CRC"):
        load_dataset("cifar100", large_folder)


def test_other_data_under_cifar100s_name_is_refused(tmp_path: Path, small_arrays: Callable) -> None:
    np.savez(tmp_path / "cifar100.npz", **small_arrays())
    with pytest.raises(UserError, match=r"train_images is uint8 \(12, 32, 32, 3\).*50000.*--dataset npz"):
        load_dataset("cifar100", tmp_path)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing of the requests."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the files of a folder are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("broken_network")
@pytest.mark.parametrize("folder", ["", "not/there/yet"])
def test_a_failed_download_says_what_to_bring_and_leaves_nothing(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UserError) as caught:
        load_dataset("cifar100", tmp_path / folder)
    message = str(caught.value)
    for word in (str(tmp_path / folder), "cifar100.npz", "train_images", "cifar-100-python"):
        assert word in message
    assert "\n" not in message
    assert list(tmp_path.rglob("*")) == []


def test_a_download_that_is_something_else_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR100

    (tmp_path / "page.html").write_text("this host is gone")
    with served(tmp_path) as address, pytest.raises(UserError, match="cannot be downloaded"):
        monkeypatch.setattr(CIFAR100, "url", f"{address}/page.html")
        load_dataset("cifar100", tmp_path / "data")
    assert [path.name for path in tmp_path.rglob("*")] == ["page.html"]


@pytest.mark.usefixtures("broken_network")
def test_a_damaged_unpacked_folder_is_named(tmp_path: Path) -> None:
    unpacked = tmp_path / "cifar-100-python"
    unpacked.mkdir()
    (unpacked / "train").write_bytes(b"half")
    with pytest.raises(UserError, match=r"cifar-100-python is incomplete or damaged.*delete it"):
        load_dataset("cifar100", tmp_path)
    assert (unpacked / "train").read_bytes() == b"half"


def test_the_file_itself_may_be_given_and_labels_in_a_column(
    cifar100_folder: Path, large_folder: Path
) -> None:
    expected = load_dataset("cifar100", cifar100_folder)
    arrays = read_arrays(cifar100_folder / "cifar100.npz")
    for split in ("train", "test"):
        arrays[f"{split}_labels"] = arrays[f"{split}_labels"][:, None]
    np.savez(large_folder / "keras.npz", **arrays)
    dataset = load_dataset("cifar100", large_folder / "keras.npz")
    assert np.array_equal(dataset.train_labels, expected.train_labels)
    assert dataset.class_names[dataset.test_labels[0]] == "mountain"


@pytest.mark.usefixtures("broken_network")
@pytest.mark.parametrize(
    ("made", "given", "words"),
    [
        (
            ["data/cifar-100-python/train", "data/cifar-100-python/test"],
            "data/cifar-100-python",
            "is CIFAR-100's unpacked folder itself: give the folder in which it lies, --data_folder {here}/",
        ),
        (
            ["data/cifar/train", "data/cifar/test"],
            "data/cifar",
            "--data_folder {here}/data, after renaming it to cifar-100-python",
        ),
        (
            ["data/cifar-100-python.tar.gz"],
            "data/cifar-100-python.tar.gz",
            "is CIFAR-100's archive itself: give the folder in which it lies, --data_folder {here}/data",
        ),
        (
            ["data/cifar-100-python.tar.gz"],
            "data",
            "cifar-100-python.tar.gz is damaged or not whole (5 bytes, whose MD5 is not that of",
        ),
        (
            [],
            "data/cifar100.npz",
            "data/cifar100.npz does not exist: --data_folder takes a folder, or an .npz",
        ),
        (["data/cifar100.npz"], "data/cifar100.npz", "cifar100.npz cannot be read (it is cut off"),
        (
            ["data"],
            "data",
            "cannot be downloaded (it is a file, not a folder): put there either cifar100.npz",
        ),
        (
            ["data/cifar-100-matlab.tar.gz", "data/cifar-10-batches-py/data_batch_1"],
            "data",
            "found there, of another form: cifar-10-batches-py, cifar-100-matlab.tar.gz",
        ),
        (["data/cifar-100-python"], "data", "cifar-100-python is incomplete or damaged"),
    ],
)
def test_what_was_given_instead_of_the_folder_is_said(
    tmp_path: Path, made: list[str], given: str, words: str
) -> None:
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"stuff")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        load_dataset("cifar100", tmp_path / given)
    assert words.format(here=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_cifar100_through_torchvision_is_the_same(
    cifar100_folder: Path,
    large_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    from torchvision.datasets import CIFAR100

    expected = load_dataset("cifar100", cifar100_folder)
    source = large_folder / "source" / "cifar-100-python"
    source.mkdir(parents=True)
    for split in ("train", "test"):
        images, labels = (getattr(expected, f"{split}_{kind}") for kind in ("images", "labels"))
        content = {
            "data": images.transpose(0, 3, 1, 2).reshape(len(images), -1),
            "fine_labels": labels.tolist(),
        }
        (source / split).write_bytes(pickle.dumps(content, protocol=4))
    (source / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(k) for k in range(100)]}))
    archive = large_folder / "source" / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        tar.add(source, arcname="cifar-100-python")
    # The published archive's checksums are those of other pickles of the same arrays.
    monkeypatch.setattr(CIFAR100, "train_list", [["train", None]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", None]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": None})
    monkeypatch.setattr(CIFAR100, "tgz_md5", None)

    def assert_same(folder: Path) -> None:
        dataset = load_dataset("cifar100", folder)
        for field in dataclasses.fields(DataSet):
            assert np.array_equal(getattr(dataset, field.name), getattr(expected, field.name)), field.name

    downloaded = large_folder / "new" / "data"
    with served(archive.parent) as address:
        monkeypatch.setattr(CIFAR100, "url", f"{address}/{archive.name}")
        assert_same(downloaded)
    assert [path.name for path in downloaded.iterdir()] == ["cifar-100-python"]
    request.getfixturevalue("broken_network")
    brought = large_folder / "brought"
    brought.mkdir()
    archive.rename(brought / archive.name)
    assert_same(brought)  # the archive alone
    assert sorted(path.name for path in brought.iterdir()) == ["cifar-100-python", "cifar-100-python.tar.gz"]


def test_torchvision_is_not_imported_with_the_package() -> None:
    program = "import sys, dataset.loader; sys.exit(bool({'torchvision', 'sklearn'} & set(sys.modules)))"
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=Path(__file__).resolve().parents[2], timeout=120
    )
