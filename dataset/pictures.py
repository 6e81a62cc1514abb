"""Pictures from files: read upright as RGB, and cut to the size in which a network is evaluated."""

import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from helper.errors import UserError, one_line
from helper.sizes import ImageSize, sides

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
RESIZE = 256 / 224  # the field's: a picture's shorter side is 256 where the middle 224 are seen
# what Pillow raises for files that are cut, damaged, too large, or no pictures
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


def read_picture(path: str | Path) -> Tensor:
    """The picture of a file, (3, H, W) uint8, RGB, turned as its EXIF entry says; of several the first.

    Memory is that of (H, W, 3). 16 bits per pixel are brought to 8. Raises UserError where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            ImageOps.exif_transpose(image, in_place=True)  # else it copies what needs no turning
            return as_pixels(image)
    except UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read as a picture ({one_line(error)[:120] or type(error).__name__}): mend it "
            "or take it away, or go on without such files with --skip_broken"
        ) from error


def as_pixels(image: Image.Image) -> Tensor:
    """(3, H, W) uint8 of a Pillow image of any mode, a view of (H, W, 3)."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would cut off at 255
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))
    array = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)


def evaluation_resize(size: ImageSize) -> int:
    """To how many pixels the shorter side of a picture is brought before the middle `size` is cut out."""
    return round(min(sides(size)) * RESIZE)


def for_evaluation(pixels: Tensor, size: ImageSize, resize: int | None = None) -> Tensor:
    """The middle of a picture (3, H, W) uint8 as a network sees it in evaluation: (3, h, w) uint8.

    The shorter side is brought to `resize` pixels (default: 256/224 of the shorter side of `size`), so that
    the whole of `size` fits, antialiased and bilinear, and the middle is cut out.
    """
    return F.center_crop(scaled(pixels, size, resize), list(sides(size)))


def scaled(pixels: Tensor, size: ImageSize, resize: int | None = None) -> Tensor:
    """The whole picture from which `for_evaluation` cuts the middle."""
    height, width = sides(size)
    shorter = evaluation_resize(size) if resize is None else resize
    scale = max(shorter / min(pixels.shape[1:]), height / pixels.shape[1], width / pixels.shape[2])
    new = [max(side, round(scale * old)) for side, old in zip((height, width), pixels.shape[1:], strict=True)]
    return pixels if new == list(pixels.shape[1:]) else F.resize(pixels, new, antialias=True)


def middle_sides(size: ImageSize, resize: int) -> tuple[int, int]:
    """Height and width of `middle`: the most that `scaled` has of every picture."""
    height, width = sides(size)
    return max(height, resize), max(width, resize)


def middle(pixels: Tensor, size: ImageSize, resize: int) -> Tensor:
    """What a cache keeps of a picture (3, H, W) uint8: of what `scaled` makes of it, the middle.

    Training crops from it, and `for_evaluation` of it is that of the whole picture, bit for bit.
    """
    whole, kept = scaled(pixels, size, resize), middle_sides(size, resize)
    # each rounding of a centre may go another way: what is cut out of the cut must be where it was
    top, left = (
        middle_start(full, seen) - middle_start(own, seen)
        for full, own, seen in zip(whole.shape[1:], kept, sides(size), strict=True)
    )
    return F.crop(whole, top, left, *kept)


def middle_start(length: int, seen: int) -> int:
    """Where the middle `seen` pixels of a side begin, as torchvision rounds it."""
    return round((length - seen) / 2)
