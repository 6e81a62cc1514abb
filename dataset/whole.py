"""Whether a picture's file is whole, found out without decoding it where its ends say so."""

import os
from pathlib import Path

from PIL import Image

from dataset.pictures import UNREADABLE, read_picture
from helper.errors import UserError, one_line

TAIL = 1024  # bytes behind the end of a picture that programs leave there
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b"\x3b"}
SMALLEST = 2


def what_is_wrong(path: Path, decode: bool = False) -> str | None:
    """Why a file cannot be read as a picture, None if it seems that it can.

    Its beginning must be that of a picture of at least 2 x 2 pixels, and its end that of its format; a file
    that ends otherwise, and with `decode` every file, is decoded to find out. A file that is damaged in the
    middle may still show a broken picture, which no decoder tells.
    """
    try:
        size = os.stat(path).st_size
        if not size:
            return "0 bytes"
        with Image.open(path) as image:
            kind, sides = image.format, image.size
        if min(sides) < SMALLEST:
            return f"{sides[0]} x {sides[1]} pixels, at least {SMALLEST} x {SMALLEST} are needed"
        if decode or not _ends_as(path, kind, size):
            read_picture(path)
    except UserError as error:
        return one_line(error.__cause__ or error)[:100]
    except UNREADABLE as error:
        return "permission denied" if isinstance(error, PermissionError) else _kind_of(error)
    return None


def _ends_as(path: Path, kind: str | None, size: int) -> bool:
    """Whether the end of a file is that of its format; False where that is not known."""
    end = ENDS.get(kind or "")
    if end is None:
        return False
    with open(path, "rb") as file:
        file.seek(max(0, size - TAIL))
        return end in file.read()


def _kind_of(error: BaseException) -> str:
    text = one_line(error)
    return "no picture" if "cannot identify" in text else text[:100] or type(error).__name__
