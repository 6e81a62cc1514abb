"""What --cache asks for: the middle of each picture as pixels, in files or in memory.

A cache is one function and one line in `cache_dict`. It makes of a set of pictures and of the parts that a
run reads the same ones with their middles kept, and says what it did in the notes of the set.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from dataset.cached import Cached, Mapped, check_middles, in_memory, shape_of, write_middles
from dataset.device_set import OnDevice
from dataset.items import Items
from dataset.picture_set import PictureSet
from helper.device import free_memory
from helper.errors import UserError
from helper.files import check_folder

FOLDER = ".cache"  # hidden, so that it is no class
FORM = 1  # of what is kept of a picture: under another number all files are made again
LARGEST_SHARE = 0.4  # of the free memory
Parts = dict[str, Items]


def none(data: PictureSet, parts: Parts, device: torch.device, folder: Path) -> tuple[PictureSet, Parts]:
    """Everything as it is."""
    refuse_folder(data)
    return data, parts


def disk(data: PictureSet, parts: Parts, device: torch.device, folder: Path) -> tuple[PictureSet, Parts]:
    """A file for each part below --cache_folder, read through a memory map.

    folder: the data's, where the files are if no other is named. They are made once; UserError where there
    is no room for them, or where one is not what its name says.
    """
    folder = data.cache_folder or folder / FOLDER
    paths = {role: folder / file_name(data, role, part) for role, part in parts.items()}
    missing = [role for role in parts if not paths[role].exists()]
    for role in parts.keys() - missing:
        check_middles(paths[role], shape_of(parts[role], data.image_size, data.resize))
    if missing:  # else others may have made them where this user cannot write
        check_folder(folder, "--cache_folder")
        refuse_without_room(data, {role: parts[role] for role in missing}, folder)
        folder.mkdir(parents=True, exist_ok=True)
    for role in missing:
        write_middles(parts[role], data.image_size, data.resize, data.workers, role, paths[role])
    kept = {role: Cached(part, Mapped(paths[role])) for role, part in parts.items()}
    return noted(data, parts, f"in {folder}"), kept


def on_device(data: PictureSet, parts: Parts, device: torch.device, folder: Path) -> tuple[PictureSet, Parts]:
    """All parts in the device's memory: on a GPU with a loader that crops there, on a CPU for the workers.

    Raises UserError where they would take more than 40 % of what is free.
    """
    refuse_folder(data)
    made = OnDevice.of(data) if device.type == "cuda" else data
    refuse_if_large(data, parts, device)
    kept = {
        role: in_memory(part, data.image_size, data.resize, data.workers, role, device)
        for role, part in parts.items()
    }
    return noted(made, parts, f"in the memory of {device}"), kept


Cache = Callable[[PictureSet, Parts, torch.device, Path], tuple[PictureSet, Parts]]
cache_dict: Mapping[str, Cache] = {"none": none, "device": on_device, "disk": disk}


def file_name(data: PictureSet, role: str, part: Items) -> str:
    """Of the file of a part: what it is for, and a hash of its pictures and of how they are cut."""
    sha = hashlib.sha256(f"{FORM} {data.name} {role} {data.image_size} {data.resize} ".encode())
    part.update(sha)
    return f"{role}-{sha.hexdigest()[:24]}.npy"


def bytes_of(data: PictureSet, parts: Parts) -> int:
    """How large the cache of some parts is."""
    return sum(torch.Size(shape_of(part, data.image_size, data.resize)).numel() for part in parts.values())


def described(data: PictureSet, parts: Parts) -> str:
    """How many pictures of what size."""
    _, height, width, _ = shape_of(data.test, data.image_size, data.resize)
    return f"{sum(map(len, parts.values()))} pictures of {height} x {width} pixels"


def noted(data: PictureSet, parts: Parts, where: str) -> PictureSet:
    """The set with a note of what its crops are."""
    note = (
        f"crops come from the cached middles of {described(data, parts)}, another distribution than those of "
        f"whole pictures: {for_reader(bytes_of(data, parts))} {where}"
    )
    return replace(data, notes=(*data.notes, note))


def for_reader(count: int) -> str:
    """Bytes for a reader."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def refuse_folder(data: PictureSet) -> None:
    """Raise UserError if a folder was named that nothing will be written to."""
    if data.cache_folder is not None:
        raise UserError(
            f"--cache_folder {data.cache_folder} is for --cache disk, and --cache is {data.cache}: leave it "
            "out, or ask for --cache disk"
        )


def refuse_without_room(data: PictureSet, parts: Parts, folder: Path) -> None:
    """Raise UserError if the parts do not fit where the folder is."""
    needed = bytes_of(data, parts)
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        left = sum(path.stat().st_size for path in there.glob(".*.npy.*.tmp"))
        more = f"; runs that were killed may have left {for_reader(left)} in its .*.tmp" if left else ""
        raise UserError(
            f"--cache disk needs {for_reader(needed)} in {folder} for {described(data, parts)}, and "
            f"{for_reader(free)} are free{more}: free some, name another --cache_folder, or leave --cache out"
        )


def refuse_if_large(data: PictureSet, parts: Parts, device: torch.device) -> None:
    """Raise UserError if the parts take more than their share of a device's free memory."""
    needed, free = bytes_of(data, parts), free_memory(device)
    if free is not None and needed > LARGEST_SHARE * free:
        raise UserError(
            f"--cache device needs {for_reader(needed)} for {described(data, parts)}, allowed are "
            f"{LARGEST_SHARE:.0%} of the {for_reader(free)} that are free on {device}: use --cache "
            "disk, or leave --cache out"
        )
