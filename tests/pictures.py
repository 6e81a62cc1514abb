"""Folders of pictures for tests, right and wrong."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_picture(path: Path, height: int = 40, width: int = 48, seed: int = 0) -> None:
    """A picture of noise; the ending says in which format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_classes(
    folder: Path, classes: Sequence[str] = ("ant", "bee", "cat"), each: int = 2, **size: int
) -> None:
    """A folder of classes with PNG files."""
    for place, name in enumerate(classes):
        for number in range(each):
            write_picture(folder / name / f"{number}.png", seed=100 * place + number, **size)


def write_splits(folder: Path, train: int = 4, val: int = 2, **size: int) -> None:
    """train and val of a folder."""
    write_classes(folder / "train", each=train, **size)
    write_classes(folder / "val", each=val, **size)


def write_digits(folder: Path, count: int = 104, test: int = 40) -> None:
    """Real digits, 48 x 40 pixels, the first `test` of them in val, the others in train."""
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:count], digits.target, strict=False)):
        place = folder / ("val" if number < test else "train") / f"digit {label}"
        place.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((image * (255 / 16)).astype(np.uint8))
        grey.resize((40, 48)).save(place / f"{number}.png")


def write_bad_folders() -> None:
    """In the current folder: folders/<what is wrong with it>."""
    root = Path("folders")
    write_splits(root / "good")
    write_classes(root / "only_train" / "train")
    write_classes(root / "only_val" / "val")
    write_classes(root / "one_class" / "train", ["ant"])
    write_classes(root / "one_class" / "val", ["ant"])
    write_splits(root / "empty_class")
    (root / "empty_class/train/dog").mkdir()
    write_splits(root / "other_classes")
    os.rename(root / "other_classes/val/cat", root / "other_classes/val/cow")
    write_splits(root / "fewer_classes")
    for picture in (root / "fewer_classes/val/cat").iterdir():
        picture.unlink()
    (root / "fewer_classes/val/cat").rmdir()
    write_splits(root / "beside")
    write_picture(root / "beside/train/stray.jpg")
    write_classes(root / "classes")
    (root / "nothing/train").mkdir(parents=True)
    (root / "nothing/val").mkdir()
    for name in ("no_bytes", "cut", "text", "tiny", "denied"):
        write_splits(root / name)
    Path(root, "no_bytes/train/ant/0.png").write_bytes(b"")
    write_picture(root / "cut/train/bee/cut.jpg")
    os.truncate(root / "cut/train/bee/cut.jpg", 1500)
    (root / "text/val/cat/0.png").write_text("no picture\n")
    write_picture(root / "tiny/train/ant/tiny.png", height=1, width=9)
    write_splits(root / "circle")
    (root / "circle/train/ant/again").symlink_to("..", target_is_directory=True)
    write_splits(root / "all_broken", train=1)
    (root / "all_broken/train/bee/0.png").write_bytes(b"")
