"""What a file is that somebody took for a checkpoint, and what to give instead."""

import zipfile
from pathlib import Path

from helper.errors import UserError

BEGINNING = 512
# how files begin (at which byte, with which bytes), what they are, and what to do with them
BEGINNINGS = (
    (0, b"version https://git-lfs", "a git-lfs pointer, not the file itself", "fetch that with git lfs pull"),
    (257, b"ustar", "a tar archive", "unpack it (tar xf) and give a checkpoint in it"),
    (0, b"\x1f\x8b", "compressed by gzip", "unpack it (gunzip, or tar xzf) and give the checkpoint in it"),
    (0, b"BZh", "compressed by bzip2", "unpack it (bunzip2, or tar xjf) and give the checkpoint in it"),
    (0, b"\xfd7zXZ", "compressed by xz", "unpack it (unxz, or tar xJf) and give the checkpoint in it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it (unzstd) and give the checkpoint in it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give a checkpoint in it"),
    (0, b"Rar!", "a RAR archive", "unpack it and give a checkpoint in it"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes", "give one that torch.save or safetensors wrote"),
    (0, b"\x93NUMPY", "an array of numpy", "give a file that torch.save or safetensors wrote"),
)
WEB_PAGES = (b"<!doctype html", b"<html")


def refuse_other_kinds(path: Path) -> None:
    """Raise UserError if a file is plainly of another kind than a checkpoint: what it is, what to do.

    Raises OSError when it cannot be read; a file that is none of the known kinds passes.
    """
    with open(path, "rb") as file:
        start = file.read(BEGINNING)
    for place, beginning, what, instead in BEGINNINGS:
        if start[place : place + len(beginning)] == beginning:
            raise _refusal(path, what, instead)
    if start.lstrip().lower().startswith(WEB_PAGES):
        raise _refusal(path, "a web page", "download the file itself, not the page about it")
    if start.startswith(b"PK\x03\x04"):
        _refuse_other_archives(path)


def _refuse_other_archives(path: Path) -> None:
    """Raise UserError for a zip archive that torch.save did not write; a damaged one passes."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive fails in many ways; whoever reads it finds that out
        return
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        raise _refusal(path, "a TorchScript program", "save its state_dict() with torch.save and give that")
    if "data.pkl" in inside:
        return
    if names and all(name.endswith(".npy") for name in names):
        raise _refusal(path, "an .npz file of arrays", "give it as --data_folder, and a checkpoint here")
    found = f"a zip archive of {len(names)} files"
    checkpoints = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".safetensors", ".tar"))]
    example = f", such as {checkpoints[0]}" if checkpoints else ""
    raise _refusal(path, found, f"unpack it and give a checkpoint in it{example}")


def _refusal(path: Path, what: str, instead: str) -> UserError:
    return UserError(f"{path} is {what}, no checkpoint: {instead}")
