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
ARCHIVE = "cifar100.npz"
DOWNLOAD_TIMEOUT = 60  # seconds without a byte


def load_cifar100(folder: Path) -> DataSet:
    """CIFAR-100 from cifar100.npz in the folder, else through torchvision, which downloads it if need be.

    The arrays are checked against the SHA-256 of the data set's bytes. Raises UserError if they differ, if
    the file cannot be read or the download fails; a failed download leaves nothing behind.
    """
    path = folder / ARCHIVE
    arrays = verified(read_arrays(path), str(path)) if path.exists() else _through_torchvision(folder)
    return DataSet("cifar100", **arrays, num_classes=100, mean=MEAN, std=STD)


def verified(arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The arrays with images contiguous and labels as int64; UserError if they are not CIFAR-100's."""
    result = {}
    for name, shape in SHAPES.items():
        array = arrays[name]
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


def _through_torchvision(folder: Path) -> dict[str, np.ndarray]:
    from torchvision.datasets import CIFAR100  # takes seconds, which no other data set should wait for

    unpacked = folder / CIFAR100.base_folder
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
    brought = folder / CIFAR100.filename
    try:
        with tempfile.TemporaryDirectory(prefix=".cifar100-", dir=existing) as temporary, _socket_timeout():
            if check_integrity(brought, CIFAR100.tgz_md5):
                (Path(temporary) / CIFAR100.filename).symlink_to(brought.absolute())
            CIFAR100(temporary, download=True)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(Path(temporary) / CIFAR100.base_folder, unpacked)
            except OSError:
                if not unpacked.exists():  # another run, started at the same time, was faster
                    raise
    except Exception as error:  # of urllib, http, ssl, tarfile or the file system, all with the same way out
        reason = one_line(error) or type(error).__name__
        raise UserError(
            f"CIFAR-100 is not in {folder} and cannot be downloaded ({reason}): put there either {ARCHIVE} "
            f"with the arrays {', '.join(SHAPES)}, or {CIFAR100.filename} or its unpacked folder "
            f"{CIFAR100.base_folder}"
        ) from error


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Have a silent network end the download with an error instead of waiting for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
