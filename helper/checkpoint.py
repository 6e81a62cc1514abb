"""Checkpoints: written whole or not at all, checked when read, and never able to run code."""

import hashlib
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helper.arguments import SETTINGS_OF_PUBLISHED_FILES
from helper.errors import UserError, one_line
from helper.file_kind import refuse_other_kinds
from helper.files import write_atomically
from helper.pickled import NUMPY_NUMBERS, how_to_convert

CHECKSUM = "sha256"  # of the content, in files of version 0.1; an archive has checksums of its own
ENTRIES = "modreduce"  # in what other formats keep beside the weights: the other entries, as JSON
ZIP_START = b"PK\x03\x04"
READABLE = [SETTINGS_OF_PUBLISHED_FILES, *NUMPY_NUMBERS]
CUT_OFF = "it is cut off or no PyTorch checkpoint"


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


def copied(content: Any) -> Any:
    """Nested content with its tensors copied to the CPU."""
    if isinstance(content, Tensor):
        return content.detach().to("cpu", copy=True)
    if isinstance(content, Mapping):
        return {key: copied(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(map(copied, content))
    return content


def write_checkpoint(content: Mapping[str, Any], path: str | Path) -> None:
    """Write the content; a kill at any moment leaves the old file or the new one.

    The archive has a CRC-32 of each of its parts. Raises UserError when the folder cannot be written or the
    disk is full.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_atomically(Path(path), buffer.getvalue())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain values only, its checksums verified.

    Takes what torch.save wrote, in its archive or its older format, and a .safetensors file, whatever the
    name says. Raises UserError when the file is missing, damaged, no checkpoint, or holds code (which is not
    run).
    """
    path = Path(path)
    refuse_missing(path)
    try:
        refuse_other_kinds(path)
        if is_safetensors(path):
            return read_safetensors(path)
        check_archive(path)
        content = _load(path)
    except pickle.UnpicklingError as error:
        if advice := how_to_convert(path):
            raise UserError(f"{path} {advice}") from error
        raise damaged(path, CUT_OFF) from error
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    except Exception as error:  # a damaged archive fails in many ways: each means the same to the user
        raise damaged(path, CUT_OFF) from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds a {type(content).__name__}: a checkpoint is a dict with a 'model' entry"
        )
    checksum = content.pop(CHECKSUM, None)
    if checksum is not None and checksum != digest(content):
        raise damaged(path, "its checksum does not match its content")
    return content


def _load(path: Path) -> Any:
    """What torch.load gives where only values are allowed, with Python's numbers for numpy's."""
    with torch.serialization.safe_globals(READABLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as one of the safetensors format: with the length of a header, and the header."""
    with open(path, "rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and 0 < length <= path.stat().st_size


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a .safetensors file by name; of one that this project wrote the content that it was made
    of, the tensors under 'model'.
    """
    try:
        from safetensors import safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(
            f"{path} is in the safetensors format, which needs a package: pip install safetensors"
        ) from error
    with safe_open(path, "pt") as file:
        own = (file.metadata() or {}).get(ENTRIES)
    tensors = load_file(path)
    return tensors if own is None else {**json.loads(own), "model": tensors}


def refuse_missing(path: Path) -> None:
    """Raise UserError unless a file is there; for a folder it names the checkpoints in it."""
    if is_file(path):
        return
    try:
        inside = sorted(file.name for file in path.glob("*_*.pth"))
    except OSError:
        inside = []
    more = f"; in that folder are {', '.join(inside[:6])}" if inside else ""
    raise UserError(f"no checkpoint at {path}: give the path of a .pth file{more}")


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
