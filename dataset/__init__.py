"""Data sets, and the loaders that keep them on the training device."""

from collections.abc import Callable
from pathlib import Path

from dataset.base import DataSet, check
from dataset.cifar100 import load_cifar100
from dataset.digits import load_digits
from dataset.npz import load_npz
from helper.errors import UserError

dataset_dict: dict[str, Callable[[Path], DataSet]] = {
    "cifar100": load_cifar100,
    "digits": load_digits,
    "npz": load_npz,
}


def load_dataset(name: str, data_folder: str | Path) -> DataSet:
    """The data set of that name, checked; data_folder is where it is, or where it is downloaded to.

    Raises UserError if there is no data set of that name, or if its data is missing or wrong.
    """
    if name not in dataset_dict:
        raise UserError(f"--dataset {name} is unknown, allowed are {', '.join(dataset_dict)}")
    return check(dataset_dict[name](Path(data_folder)))
