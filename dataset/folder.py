"""A user's own pictures: a folder per class, in train and val, or one folder of classes that is split."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.items import Files
from dataset.picture_set import PictureSet, picture_set
from dataset.picture_settings import PictureSettings
from dataset.pictures import ENDINGS
from dataset.split import hold_out
from dataset.whole import what_is_wrong
from helper.batch import UNLABELLED
from helper.errors import UserError

TRAIN, VALIDATION, TEST = "train", ("val", "validation", "valid"), "test"
LAYOUT = "train/<class>/*.jpg and val/<class>/*.jpg, or <class>/*.jpg with --val_split 0.2"
THREADS = 8
SHOWN = 3


def load_folder(folder: Path, asked: PictureSettings, val_split: float, _: str = "") -> PictureSet:
    """The pictures of a folder, a class for each folder in its `train`, in the order of their names.

    The test set is `val` (`validation`, `valid`) or `test`; with both, `val` selects the best epoch and
    `test` tests. A folder of classes without these is split: val_split of its pictures, always the same, are
    the test set. Raises UserError for a folder of another form, for classes that differ or are empty, and for
    pictures that cannot be read, unless these are to be skipped.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: --data_folder takes a folder with {LAYOUT}")
    splits = split_folders(folder)
    if not splits:
        return one_folder(folder, asked, val_split)
    classes, train = scan(folder / TRAIN)
    parts = [train]
    for split in splits:
        others, part = scan(folder / split)
        refuse_other_classes(folder, classes, others, split)
        parts.append(part)
    parts, notes = readable(parts, classes, asked.skip_broken)
    test = parts[-1]
    validation = parts[1] if len(parts) > 2 else None
    if validation is not None:
        notes.append(f"{folder / splits[0]} selects the best epoch, {folder / splits[1]} is the test set")
    return picture_set("imagefolder", parts[0], test, classes, asked, validation=validation, notes=notes)


def load_unlabelled(folder: Path, skip_broken: bool) -> Files:
    """All pictures below a folder, in whatever folders, with the label -1; UserError as `load_folder`."""
    if not folder.is_dir():
        raise UserError(f"--unlabelled {folder} is no folder: name one with pictures")
    names = sorted(pictures_below(folder))
    if not names:
        raise UserError(f"--unlabelled {folder} has no picture (these end in {', '.join(ENDINGS)})")
    found = files_of(folder, names, np.full(len(names), UNLABELLED, np.int64))
    return readable([found], [], skip_broken)[0][0]


def files_of(folder: Path, names: Sequence[str], labels: np.ndarray) -> Files:
    """Pictures by their paths in a folder."""
    sizes = np.array([os.stat(folder / name).st_size for name in names], np.int64)
    return Files(folder, np.array([os.fsencode(name) for name in names]), sizes, labels)


def one_folder(folder: Path, asked: PictureSettings, val_split: float) -> PictureSet:
    """A folder of classes, split into a training and a test set."""
    classes, everything = scan(folder)
    if not val_split:
        raise UserError(
            f"{folder} holds classes, and no {TRAIN} and {VALIDATION[0]}: say with --val_split 0.2 which "
            "part of "
            f"it is the test set, or make {LAYOUT}"
        )
    (everything,), notes = readable([everything], classes, asked.skip_broken)
    kept, held_out = hold_out(everything.labels, val_split, seed=0)
    notes.append(
        f"{len(held_out)} of the {len(everything)} pictures, the same for all seeds, are the test set"
    )
    return picture_set(
        "imagefolder",
        everything.take(kept),
        everything.take(held_out),
        classes,
        asked,
        split_of_test=val_split,
        notes=notes,
    )


def split_folders(folder: Path) -> list[str]:
    """The folders beside `train` that are the test set, or those that select and test; none of a folder of
    classes.
    """
    found = [name for name in VALIDATION if (folder / name).is_dir()][:1]
    found += [TEST] if (folder / TEST).is_dir() else []
    train = (folder / TRAIN).is_dir()
    if train and not found:
        raise UserError(f"{folder} has {TRAIN} and no {VALIDATION[0]}: make {LAYOUT}")
    if found and not train and len(class_folders(folder)) <= len(found):
        raise UserError(f"{folder} has {found[0]} and no {TRAIN}: make {LAYOUT}")
    return found if train else []


def class_folders(folder: Path) -> list[str]:
    """The names of a folder's folders in order, but for hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")


def scan(folder: Path) -> tuple[list[str], Files]:
    """The classes of a folder, and the pictures of all of them, in order.

    Raises UserError for pictures that lie beside classes, for fewer than two classes, and for a class without
    a picture.
    """
    beside = [entry.name for entry in os.scandir(folder) if is_picture(entry.name) and entry.is_file()]
    classes = class_folders(folder)
    if beside:
        raise UserError(
            f"{folder} has {len(beside)} pictures beside its {len(classes)} class folders (first: "
            f"{min(beside)}): "
            "move each into the folder of its class"
        )
    if len(classes) < 2:
        raise UserError(
            f"{folder} has {len(classes)} class folders{f', {classes[0]}' if classes else ''}: "
            "classification "
            f"needs at least 2, in {LAYOUT}"
        )
    found = [sorted(pictures_below(folder / name)) for name in classes]
    empty = [name for name, pictures in zip(classes, found, strict=True) if not pictures]
    if empty:
        raise UserError(
            f"{folder}: {len(empty)} of {len(classes)} classes have no picture, the first is {empty[0]} "
            "(pictures "
            f"end in {', '.join(ENDINGS)}): add some, or take the folder away"
        )
    paths = [os.path.join(name, one) for name, own in zip(classes, found, strict=True) for one in own]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(own) for own in found])
    return classes, files_of(folder, paths, labels)


def is_picture(name: str) -> bool:
    """Whether a file's name is one of a picture that is not hidden."""
    return name.lower().endswith(ENDINGS) and name[0] != "."


def pictures_below(folder: Path) -> Iterator[str]:
    """The pictures of a folder and of the folders in it, relative to it; UserError for links in a circle."""
    seen = {folder.resolve()}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in folders:
            real = Path(place, name).resolve()
            if Path(place, name).is_symlink() and (real in seen or folder.resolve().is_relative_to(real)):
                raise UserError(f"{Path(place, name)} is a link in a circle, to {real}: take it away")
            seen.add(real)
        for name in files:
            if is_picture(name):
                yield os.path.relpath(os.path.join(place, name), folder)


def _unreadable(error: OSError) -> None:
    raise UserError(
        f"{error.filename} cannot be read ({error.strerror}): allow it, or take it away"
    ) from error


def refuse_other_classes(folder: Path, train: Sequence[str], other: Sequence[str], split: str) -> None:
    """Raise UserError unless both parts have the same classes."""
    for has, lacks, names in (
        (TRAIN, split, set(train) - set(other)),
        (split, TRAIN, set(other) - set(train)),
    ):
        if names:
            raise UserError(
                f"{folder}: {len(names)} classes of {has} are not in {lacks} (first: {min(names)}): both "
                "need a "
                "folder for each class"
            )


def readable(
    parts: Sequence[Files], classes: Sequence[str], skip_broken: bool
) -> tuple[list[Files], list[str]]:
    """The parts without the pictures that cannot be read, and what to say; UserError unless these may be
    skipped, or if a class loses all its training pictures.

    Each file's beginning and end are looked at, and what looks cut is decoded; with skip_broken
    everything is.
    """
    total = sum(map(len, parts))
    bar = tqdm(total=total, desc="looking at pictures", unit=" images", leave=False, disable=None)
    kept, broken = [], []
    with bar, ThreadPoolExecutor(THREADS) as threads:
        for part in parts:
            paths = map(part.path, range(len(part)))
            wrong = []
            for index, said in enumerate(threads.map(lambda path: what_is_wrong(path, skip_broken), paths)):
                bar.update()
                if said is not None:
                    wrong.append(index)
                    broken.append(f"{part.path(index)} ({said})")
            kept.append(part.take(np.setdiff1d(np.arange(len(part)), wrong)) if wrong else part)
    if broken and not skip_broken:
        raise UserError(
            f"{len(broken)} of {total} pictures cannot be read: {', '.join(broken[:SHOWN])}"
            f"{', ...' if len(broken) > SHOWN else ''}: mend them or take them away, or leave them out with "
            "--skip_broken"
        )
    lost = np.setdiff1d(np.arange(len(classes)), kept[0].labels)
    if lost.size:
        raise UserError(
            f"no picture of class {classes[lost[0]]} can be read: mend some, or take the class away"
        )
    notes = [
        f"{len(broken)} of {total} pictures cannot be read and are left out: {', '.join(broken[:SHOWN])}"
    ]
    return kept, notes if broken else []
