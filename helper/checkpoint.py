"""Checkpoints: written whole or not at all, checked when read, and never able to run code."""

import argparse
import hashlib
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helper.errors import UserError, one_line
from helper.files import write_atomically

CHECKSUM = "sha256"
ZIP_START = b"PK\x03\x04"


def digest(content: Any) -> str:
    """SHA-256 of nested dicts and lists of tensors, numbers, strings, True, False and None."""
    sha = hashlib.sha256()
    _feed(sha, content)
    return sha.hexdigest()


def _feed(sha, content: Any) -> None:
    if isinstance(content, Tensor):
        flat = content.detach().cpu().contiguous().flatten()
        sha.update(f"tensor {flat.dtype} {list(content.shape)} ".encode())
        sha.update(flat.view(torch.uint8).numpy())
    elif isinstance(content, Mapping):
        sha.update(f"dict {len(content)} ".encode())
        for key, value in content.items():
            sha.update(repr(key).encode())
            _feed(sha, value)
    elif isinstance(content, (list, tuple)):
        sha.update(f"list {len(content)} ".encode())
        for value in content:
            _feed(sha, value)
    else:
        sha.update(f"{content!r} ".encode())


def write_checkpoint(content: dict[str, Any], path: str | Path) -> None:
    """Write the content with a checksum of it; a kill at any moment leaves the old file or the new one.

    Raises UserError when the folder cannot be written or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save({**content, CHECKSUM: digest(content)}, buffer)
    write_atomically(Path(path), buffer.getvalue())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain values only, its checksum verified if it has one.

    Raises UserError when the file is missing, damaged, no checkpoint, or holds code (which is not run).
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"no checkpoint at {path}: give the path of a .pth file")
    try:
        check_archive(path)
        # published checkpoints carry their settings as an argparse.Namespace, which only holds values
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if named := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise UserError(
                f"{path} holds code or objects ({named[1]}), not just weights: it was not run; "
                "ask its author for a file with tensors and plain values only"
            ) from error
        raise damaged(path, "it is cut off or no PyTorch checkpoint") from error
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    except Exception as error:  # a damaged archive fails in many ways: each means the same to the user
        raise damaged(path, "it is cut off or no PyTorch checkpoint") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds a {type(content).__name__}: a checkpoint is a dict with a 'model' entry"
        )
    checksum = content.pop(CHECKSUM, None)
    if checksum is not None and checksum != digest(content):
        raise damaged(path, "its checksum does not match its content")
    return content


def is_file(path: Path) -> bool:
    """Whether a file is there; not so for names that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def check_archive(path: Path) -> None:
    """Verify the checksums that a zip archive has of its own, so that no damaged byte reaches the unpickler.

    Raises UserError when one differs, and errors of zipfile and zlib when not even the archive can be read.
    """
    with open(path, "rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            return  # the format before PyTorch 1.6 is no archive
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                raise damaged(path, "its checksum does not match its content")


def damaged(path: Path, how: str) -> UserError:
    """The error for a checkpoint that cannot be trusted."""
    return UserError(f"{path} is damaged: {how}; remove it and use an older file, or fetch or train it again")
