"""A user's own data: four arrays in one .npz file."""

from pathlib import Path

from dataset.archive import WRITING, read_arrays
from dataset.base import DataSet, channel_statistics, check_arrays
from helper.errors import UserError

FILE = "dataset.npz"


def load_npz(folder: Path) -> DataSet:
    """The data set in dataset.npz of the folder, or in the folder itself if that is an .npz file.

    train_images, test_images: uint8 (n, S, S, 3), S = 32 or 64; train_labels, test_labels: integers (n,),
    counted from 0. The number of classes is the largest label plus one; mean and standard deviation are the
    training images'. Raises UserError if the file is missing, damaged or holds something else.
    """
    path = folder if folder.suffix == ".npz" else folder / FILE
    if not path.exists():
        raise UserError(
            f"{path} does not exist: --data_folder takes an .npz file, or a folder with {FILE}; write it "
            f"with {WRITING}"
        )
    arrays = check_arrays(str(path), read_arrays(path))
    mean, std = channel_statistics(arrays["train_images"])
    classes = 1 + int(max(arrays["train_labels"].max(), arrays["test_labels"].max()))
    return DataSet("npz", **arrays, num_classes=classes, mean=mean, std=std)
