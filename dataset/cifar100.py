"""CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32 x 32, 100 classes."""

import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dataset.base import DataSet
from dataset.npz import read_arrays
from helper.errors import UserError, one_line

MEAN = (0.5071, 0.4867, 0.4408)
STD = (0.2675, 0.2565, 0.2761)
SHAPES = {
    "train_images": (50000, 32, 32, 3),
    "train_labels": (50000,),
    "test_images": (10000, 32, 32, 3),
    "test_labels": (10000,),
}
# Of the bytes of uint8 images and int64 labels, in the order of the published files.
SHA256 = {
    "train_images": "4e457917601a66aed021f5fa37957b56c6319557c0a8ed5484de3c390af45430",
    "train_labels": "8bf4935e7c77a3096270043c6f3b221b6ecb9c63d1a08608e9af66cff17e977a",
    "test_images": "4cb8e5d9309da489bf6b19cc10cd96c3ae6f8daf225380b605aaee4c0d6aee19",
    "test_labels": "80031c23f8300724c6fbc588e4bccbe41c6392041782148727bb497b0132c4ad",
}
CLASS_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
    can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
    dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
    pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
    seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
    tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
    worm
"""
ARCHIVE = "cifar100.npz"
UNPACKED = "cifar-100-python"
PUBLISHED = "cifar-100-python.tar.gz"
DOWNLOAD_TIMEOUT = 60  # seconds without a byte


def load_cifar100(folder: Path) -> DataSet:
    """CIFAR-100 from cifar100.npz in the folder, else through torchvision, which downloads it if need be.

    The folder may also be the .npz file itself. The arrays are checked against the SHA-256 of the data set's
    bytes. Raises UserError if they differ, if the folder is something else, if a file cannot be read or the
    download fails; a failed download leaves nothing behind.
    """
    path = folder if folder.suffix == ".npz" else folder / ARCHIVE
    if path.exists():
        arrays = verified(read_arrays(path), str(path))
    else:
        _check_place(folder)
        arrays = _through_torchvision(folder)
    names = tuple(CLASS_NAMES.split())
    return DataSet("cifar100", **arrays, num_classes=100, mean=MEAN, std=STD, class_names=names)


def verified(arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The arrays with images contiguous and labels as int64; UserError if they are not CIFAR-100's."""
    result = {}
    for name, shape in SHAPES.items():
        array = arrays[name]
        if name.endswith("labels") and array.shape == (*shape, 1):  # as Keras stores them
            array = array[:, 0]
        dtype = np.uint8 if name.endswith("images") else np.int64
        if array.shape != shape or array.dtype.kind not in "iu":
            raise UserError(
                f"{source}: {name} is {array.dtype} {array.shape}, CIFAR-100 has {np.dtype(dtype)} {shape}: "
                "write the four arrays again, or use --dataset npz for data of your own"
            )
        result[name] = np.ascontiguousarray(array, dtype)
        digest = hashlib.sha256(result[name]).hexdigest()
        if digest != SHA256[name]:
            raise UserError(
                f"{source}: {name} is not CIFAR-100's (SHA-256 {digest[:12]}..., must be "
                f"{SHA256[name][:12]}...): the data is damaged or in another order, bring it again"
            )
    return result


def _check_place(folder: Path) -> None:
    """Raise UserError if --data_folder names a part of the data instead of the folder in which it lies."""
    parent = folder.absolute().parent
    if (folder / "train").is_file() and (folder / "test").is_file():
        named = "" if folder.name == UNPACKED else f", after renaming it to {UNPACKED}"
        raise UserError(
            f"{folder} is CIFAR-100's unpacked folder itself: give the folder in which it lies, "
            f"--data_folder {parent}{named}"
        )
    if folder.suffix == ".npz":
        raise UserError(
            f"{folder} does not exist: --data_folder takes a folder, or an .npz file with the arrays "
            f"{', '.join(SHAPES)}"
        )
    if folder.is_file() and folder.name == PUBLISHED:
        raise UserError(
            f"{folder} is CIFAR-100's archive itself: give the folder in which it lies, "
            f"--data_folder {parent}"
        )
    if folder.exists() and not folder.is_dir():
        raise _unavailable(folder, "it is a file, not a folder")


def _unavailable(folder: Path, reason: str) -> UserError:
    others = sorted({path.name for path in folder.glob("cifar*")} - {PUBLISHED}) if folder.is_dir() else []
    instead = f"; found there, of another form: {', '.join(others)}" if others else ""
    return UserError(
        f"CIFAR-100 is not in {folder} and cannot be downloaded ({reason}): put there either {ARCHIVE} "
        f"with the arrays {', '.join(SHAPES)}, or {PUBLISHED} or its unpacked folder {UNPACKED}{instead}"
    )


def _through_torchvision(folder: Path) -> dict[str, np.ndarray]:
    from torchvision.datasets import CIFAR100  # takes seconds, which no other data set should wait for

    unpacked = folder / UNPACKED
    if not unpacked.exists():
        _download(folder, unpacked)
    arrays = {}
    try:
        for split in ("train", "test"):
            part = CIFAR100(folder, train=split == "train")
            arrays[f"{split}_images"] = part.data
            arrays[f"{split}_labels"] = np.array(part.targets, np.int64)
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{unpacked} is incomplete or damaged ({one_line(error)}): delete it to have CIFAR-100 fetched "
            f"again, or put {ARCHIVE} into {folder}"
        ) from error
    return verified(arrays, str(unpacked))


def _download(folder: Path, unpacked: Path) -> None:
    """Fetch and unpack the archive beside its place, and move it there when it is complete."""
    from torchvision.datasets import CIFAR100
    from torchvision.datasets.utils import check_integrity

    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    brought = folder / PUBLISHED
    if brought.exists() and not check_integrity(brought, CIFAR100.tgz_md5):
        raise UserError(
            f"{brought} is damaged or not whole ({brought.stat().st_size} bytes, whose MD5 is not that of "
            "the published archive): bring it again, or delete it to have it downloaded"
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".cifar100-", dir=existing) as temporary, _socket_timeout():
            if brought.exists():
                (Path(temporary) / PUBLISHED).symlink_to(brought.absolute())
            CIFAR100(temporary, download=True)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(Path(temporary) / UNPACKED, unpacked)
            except OSError:
                if not unpacked.exists():  # another run, started at the same time, was faster
                    raise
    except Exception as error:  # of urllib, http, ssl, tarfile or the file system, all with the same way out
        raise _unavailable(folder, one_line(error) or type(error).__name__) from error


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Have a silent network end the download with an error instead of waiting for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
