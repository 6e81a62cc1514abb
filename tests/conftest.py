"""What several test files share."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset import load_dataset
from dataset.cifar100 import ARCHIVE, verified
from dataset.data import Data
from dataset.npz import read_arrays
from helper.batch import Batch
from helper.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def cifar100_folder() -> Path:
    """A folder with the real cifar100.npz, or a skip where the data set is not beside the repository.

    It takes seconds and 185 MB to build: all processes and later runs share one, in the temporary folder.
    """
    candidates = [place / "shared" / "data" / "cifar100" for place in (ROOT.parent, ROOT)]
    sheets = next((folder for folder in candidates if (folder / "unpack.py").exists()), None)
    if sheets is None:
        pytest.skip(f"CIFAR-100 is not there: {candidates[0]} does not exist")
    folder = Path(tempfile.gettempdir()) / f"modreduce-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        pytest.skip(f"{folder} belongs to another user")
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(folder / ARCHIVE):
            _build(sheets, folder)
    return folder


@pytest.fixture(scope="session")
def data() -> Data:
    """200 digits to train on, and all those to test on."""
    digits = load_dataset("digits", "unused")
    return Data(digits, digits.train.take(np.arange(200)), None)


@pytest.fixture(scope="session")
def batch(data: Data) -> Batch:
    """The first eight of them."""
    images = torch.from_numpy(data.train.images[:8]).permute(0, 3, 1, 2).float() / 128 - 1
    return Batch(images, torch.from_numpy(data.labels[:8]), torch.arange(8))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection to another machine, whatever library asks for it; this one is reachable."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1", "localhost")):
            raise OSError(errno.ENETUNREACH, "no network in this test")
        connect(self, address)

    def unknown(host: str, *arguments: object, **keywords: object) -> list:
        if host not in ("localhost", "127.0.0.1", "::1"):
            raise socket.gaierror(socket.EAI_AGAIN, "no network in this test")
        return lookup(host, *arguments, **keywords)

    lookup = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)


def _is_whole(path: Path) -> bool:
    try:
        verified(read_arrays(path), str(path))
    except UserError:
        return False
    return True


def _build(sheets: Path, folder: Path) -> None:
    unfinished = folder / f"unfinished-{ARCHIVE}"
    command = [sys.executable, str(sheets / "unpack.py"), str(unfinished)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    os.replace(unfinished, folder / ARCHIVE)
