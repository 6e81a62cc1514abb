"""A data set of one's own: bright squares, discs and crosses on noise.

    python -m examples.data_set --model resnet8 --dataset shapes --epochs 5

It would be dataset/shapes.py and one line in dataset/__init__.py: "shapes":
"shapes:load_shapes". Without any code: an .npz with train_images (n, 32, 32, 3) uint8, train_labels,
test_images, test_labels, and --dataset npz.
"""

from pathlib import Path

import numpy as np

import train_teacher
from dataset import dataset_dict
from dataset.base import DataSet, channel_statistics
from helper.errors import run_script

NAMES = ("square", "disc", "cross")


def load_shapes(folder: Path) -> DataSet:
    """Images (n, 32, 32, 3) uint8 and labels (n,), always the same; --data_folder is not used."""
    random = np.random.RandomState(0)
    images, labels = zip(*(draw(random, label % len(NAMES)) for label in range(600)), strict=True)
    images, labels = np.stack(images), np.array(labels)
    mean, std = channel_statistics(images[:480])
    return DataSet(
        "shapes",
        train_images=images[:480],
        train_labels=labels[:480],
        test_images=images[480:],
        test_labels=labels[480:],
        num_classes=len(NAMES),
        mean=mean,
        std=std,
        class_names=NAMES,
    )


def draw(random: np.random.RandomState, label: int) -> tuple[np.ndarray, int]:
    """One image with a shape at a random place."""
    row, column = random.randint(8, 24, size=2)
    down, right = np.abs(np.arange(32) - row)[:, None], np.abs(np.arange(32) - column)[None, :]
    shape = (
        np.maximum(down, right) <= 5,
        down**2 + right**2 <= 36,
        (np.minimum(down, right) <= 1) & (np.maximum(down, right) <= 6),
    )[label]
    image = random.randint(0, 120, size=(32, 32, 3)) + 100 * shape[:, :, None]
    return image.astype(np.uint8), label


dataset_dict["shapes"] = load_shapes

if __name__ == "__main__":
    run_script(train_teacher.main)
