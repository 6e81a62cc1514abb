"""Sizes of pictures as flags and files carry them: a number of pixels a side, or 'HEIGHTxWIDTH'."""

import argparse
import re

ImageSize = int | str
LARGEST_SIDE = 4096


def image_size(text: str) -> ImageSize:
    """The type of a flag: 224, or height and width like 160x224."""
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size in pixels, like 224, or 160x224 (height, width)"
        )
    height = int(found[1])
    width = int(found[2] or height)
    if not 2 <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        raise argparse.ArgumentTypeError(f"{text}: a side has from 2 to {LARGEST_SIDE} pixels")
    return size_of(height, width)


def size_of(height: int, width: int) -> ImageSize:
    """The size of pictures of that height and width."""
    return int(height) if height == width else f"{height}x{width}"


def is_size(text: str) -> bool:
    """Whether a word from a file is the size of pictures that are no squares."""
    return re.fullmatch(r"[1-9]\d*x[1-9]\d*", text) is not None


def sides(size: ImageSize) -> tuple[int, int]:
    """Height and width, in pixels."""
    if isinstance(size, int):
        return size, size
    height, _, width = size.partition("x")
    return int(height), int(width)


def shown(size: ImageSize) -> str:
    """A size for a reader: '224 x 224'."""
    return " x ".join(map(str, sides(size)))
