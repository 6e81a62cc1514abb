"""Write a data set of the project as PNG files: OUT/train/CLASS/*.png and OUT/val/CLASS/*.png.

    python -m scripts.write_pictures pictures --dataset digits
    python -m scripts.write_pictures pictures --dataset cifar100 --classes 20 --train 80 --val 20

This is the form that --dataset imagefolder reads. The classes are the first in the order of their numbers;
how many training and test images of each class are written can be chosen: which ones is always the same.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dataset import dataset_dict, load_dataset
from dataset.base import Arrays
from dataset.split import stratified_indices
from helper.arguments import Parser, path, positive_int
from helper.errors import UserError, run_script
from helper.files import check_new_folder, new_folder


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("out", type=path, metavar="OUT", help="a new or empty folder")
    flags.add_argument("--dataset", choices=list(dataset_dict), default="digits", help="(default digits)")
    flags.add_argument("--data_folder", type=path, default=Path("data"), help="where it is (default data)")
    flags.add_argument("--classes", type=positive_int, metavar="N", help="the first N (default: all)")
    for flag, what in (("--train", "training"), ("--val", "test")):
        text = f"{what} images of each class (default: all)"
        flags.add_argument(flag, type=positive_int, metavar="N", help=text)
    return flags


def some_of_each(labels: np.ndarray, classes: int, count: int | None, flag: str) -> np.ndarray:
    """Sorted indices of `count` images, or of all, of each of the first classes.

    Raises UserError if a class has fewer; flag: the setting that asked for them.
    """
    chosen = []
    for label in range(classes):
        own = np.flatnonzero(labels == label)
        if count is not None:
            if count > len(own):
                raise UserError(
                    f"{flag} asks for {count} images of each class, and class {label} has {len(own)}: "
                    "ask for fewer"
                )
            own = own[stratified_indices(np.zeros(len(own), np.int64), count, seed=label)]
        chosen.append(own)
    return np.sort(np.concatenate(chosen))


def folder_names(class_names: Sequence[str] | None, classes: int) -> list[str]:
    """A folder's name for each class: the class's own, else its number; they sort as the classes do."""
    if class_names is None:
        return [f"{number:0{len(str(classes - 1))}}" for number in range(classes)]
    return [name.replace("/", "-") for name in class_names[:classes]]


def write_part(part: Arrays, indices: np.ndarray, names: Sequence[str], folder: Path) -> None:
    """A file for each of these images of a part, named by its place there, in the folder of its class."""
    for name in names:
        (folder / name).mkdir(parents=True)
    for index in indices:
        Image.fromarray(part.images[index]).save(folder / names[part.labels[index]] / f"{index:05}.png")


def main() -> None:
    args = parser().parse_args()
    check_new_folder(args.out, "OUT")
    data = load_dataset(args.dataset, args.data_folder)
    classes = args.classes or data.num_classes
    if classes > data.num_classes:
        raise UserError(f"--classes asks for {classes}, {data.name} has {data.num_classes}: ask for fewer")
    names = folder_names(data.class_names, classes)
    parts = [
        ("train", data.train, some_of_each(data.train_labels, classes, args.train, "--train")),
        ("val", data.test, some_of_each(data.test_labels, classes, args.val, "--val")),
    ]
    with new_folder(args.out) as place:
        for split, part, indices in parts:
            write_part(part, indices, names, place / split)
    for split, _, indices in parts:
        print(f"{args.out / split}: {len(indices)} pictures of {classes} classes")


if __name__ == "__main__":
    run_script(main)
