"""Data sets by name, and the loaders that keep them on the training device.

Importing this package imports neither torch nor numpy, so that a command knows the names at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from helper.errors import UserError
from helper.registry import Registry

if TYPE_CHECKING:
    from dataset.base import DataSet
    from dataset.picture_set import PictureSet
    from dataset.picture_settings import PictureSettings

# name: function(folder) -> DataSet
dataset_dict = Registry(
    "dataset",
    {
        "cifar100": "cifar100:load_cifar100",
        "digits": "digits:load_digits",
        "npz": "npz:load_npz",
    },
)
# name: function(folder, what is asked of pictures, the part that is split off, NAME) -> PictureSet or DataSet
picture_dict = Registry(
    "dataset",
    {
        "imagefolder": "folder:load_folder",
        "torchvision": "torchvision_sets:load_torchvision",
    },
)
NAMED = "torchvision:NAME"


class _Names:
    """The words that --dataset allows."""

    def __contains__(self, name: object) -> bool:
        return name in dataset_dict or name == "imagefolder" or str(name).startswith("torchvision:")

    def __iter__(self) -> Iterator[str]:
        return iter((*dataset_dict, "imagefolder", NAMED))


dataset_names = _Names()


def is_pictures(name: str) -> bool:
    """Whether the data set of that name may be read from files while a network trains."""
    return name in dataset_names and name not in dataset_dict


def load_dataset(
    name: str, data_folder: str | Path, pictures: "PictureSettings | None" = None, val_split: float = 0.0
) -> "DataSet | PictureSet":
    """The data set of that name, checked; data_folder is where it is, or where it is downloaded to.

    pictures: what is asked of pictures from files (default: nothing); val_split: the part of a folder of
    classes that becomes its test set. Raises UserError if there is no data set of that name, or if its data
    is missing or wrong.
    """
    from dataset.picture_settings import PictureSettings

    if name not in dataset_names:
        raise UserError(f"--dataset {name} is unknown, allowed are {', '.join(dataset_names)}")
    from dataset.check import check, check_pictures

    pictures = pictures or PictureSettings()
    if name in dataset_dict:
        pictures.refuse_for(name)
        return check(dataset_dict[name](Path(data_folder)))
    kind, _, of_kind = name.partition(":")
    return check_pictures(picture_dict[kind](Path(data_folder), pictures, val_split, of_kind))
