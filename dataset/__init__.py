"""Data sets by name, and the loaders that keep them on the training device.

Importing this package imports neither torch nor numpy, so that a command knows the names at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from helper.errors import UserError
from helper.registry import Registry

if TYPE_CHECKING:
    from dataset.base import DataSet

# name: function(folder) -> DataSet
dataset_dict = Registry(
    "dataset",
    {
        "cifar100": "cifar100:load_cifar100",
        "digits": "digits:load_digits",
        "npz": "npz:load_npz",
    },
)


def load_dataset(name: str, data_folder: str | Path) -> "DataSet":
    """The data set of that name, checked; data_folder is where it is, or where it is downloaded to.

    Raises UserError if there is no data set of that name, or if its data is missing or wrong.
    """
    if name not in dataset_dict:
        raise UserError(f"--dataset {name} is unknown, allowed are {', '.join(dataset_dict)}")
    from dataset.check import check

    return check(dataset_dict[name](Path(data_folder)))
