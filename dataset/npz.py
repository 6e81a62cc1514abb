"""A user's own data: four arrays in one .npz file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from dataset.base import ARRAY_NAMES, DataSet, channel_statistics
from dataset.check import check_arrays
from helper.errors import UserError, one_line

WRITING = "np.savez(path, train_images=..., train_labels=..., test_images=..., test_labels=...)"
FILE = "dataset.npz"
NAMES = "class_names"


def load_npz(folder: Path) -> DataSet:
    """The data set in dataset.npz of the folder, or in the folder itself if that is an .npz file.

    train_images, test_images: uint8 (n, S, S, 3), S = 32 or 64; train_labels, test_labels: integers (n,),
    counted from 0; class_names, if there: strings (C,). The number of classes is the largest label plus one;
    mean and standard deviation are the training images'. Raises UserError if the file is missing, damaged or
    holds something else.
    """
    path = folder if folder.suffix == ".npz" else folder / FILE
    if not path.exists():
        raise UserError(
            f"{path} does not exist: --data_folder takes an .npz file, or a folder with {FILE}; "
            f"{_found_instead(folder)}write it with {WRITING}"
        )
    content = read_arrays(path, optional=(NAMES,))
    arrays = check_arrays(str(path), {name: content[name] for name in ARRAY_NAMES})
    mean, std = channel_statistics(arrays["train_images"])
    classes = 1 + int(max(arrays["train_labels"].max(), arrays["test_labels"].max()))
    names = _class_names(path, content[NAMES]) if NAMES in content else None
    return DataSet("npz", **arrays, num_classes=classes, mean=mean, std=std, class_names=names)


def _found_instead(folder: Path) -> str:
    """What the user may have meant."""
    if folder.is_file():
        return f"{folder} is a file of another kind; "
    others = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if others:
        return f"give {others[0]}, which is there, or "
    return ""


def _class_names(path: Path, names: np.ndarray) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(
            f"{path}: {NAMES} is {names.dtype} {names.shape}, allowed are strings, one per class: store "
            "np.array(['cat', 'dog', ...]), or leave it out"
        )
    return tuple(names.tolist())


def read_arrays(path: Path, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays train_images, train_labels, test_images and test_labels of an .npz file.

    optional: names of further arrays, which are read if they are there. Nothing in the file is executed:
    arrays of Python objects are refused. Raises UserError if the file is damaged, truncated, not an .npz
    file, or lacks an array.
    """
    # A damaged archive fails in zipfile, in zlib or in the parser of the arrays' headers, each with errors
    # of its own: whatever goes wrong while reading means the same to the user.
    try:
        content = np.load(path, allow_pickle=False) if zipfile.is_zipfile(path) else None
        if not isinstance(content, NpzFile):
            raise ValueError("it is cut off, or no .npz archive")
        with content:
            names = set(content.files)
            arrays = {name: content[name] for name in (*ARRAY_NAMES, *optional) if name in names}
    except Exception as error:
        raise UserError(
            f"{path} cannot be read ({one_line(error) or type(error).__name__}): allowed is an undamaged "
            f".npz file of plain arrays; copy it again, or write it with {WRITING}"
        ) from error
    missing = [name for name in ARRAY_NAMES if name not in names]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)} (found: {', '.join(sorted(names)) or 'nothing'}): write it "
            f"with {WRITING}"
        )
    return arrays
