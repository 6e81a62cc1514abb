"""Types of flags: each turns a word into a number, or says in one line what is allowed."""

import argparse
import math
import sys
from pathlib import Path

from helper.errors import UserError

LARGEST_INT = 2**31 - 1


def _number(text: str, kind: type, allowed: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if kind is int and value > LARGEST_INT:
        raise argparse.ArgumentTypeError(f"{text[:20]} is too large: at most {LARGEST_INT} is allowed")
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
    return value


def positive_int(text: str) -> int:
    """A whole number from 1."""
    value = _number(text, int, "a whole number from 1")
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number from 1")
    return value


def non_negative_int(text: str) -> int:
    """A whole number from 0."""
    value = _number(text, int, "a whole number from 0")
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number from 0")
    return value


def positive_float(text: str) -> float:
    """A number above 0."""
    value = _number(text, float, "a number above 0")
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{value:g} is not a number above 0")
    return value


def non_negative_float(text: str) -> float:
    """A number from 0."""
    value = _number(text, float, "a number from 0")
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value:g} is not a number from 0")
    return value


def positive_fraction(text: str) -> float:
    """A number above 0 and below 1."""
    value = _number(text, float, "a number above 0 and below 1")
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not a number above 0 and below 1")
    return value


def fraction(text: str) -> float:
    """A number from 0 up to, but not including, 1."""
    value = _number(text, float, "a number from 0 to below 1")
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not a number from 0 to below 1")
    return value


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the script's docstring as its help."""

    def __init__(self, description: str | None):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str):
        """Raise UserError instead of printing the usage."""
        raise UserError(f"{message} (see {Path(sys.argv[0]).name} --help)")


def epoch_list(text: str) -> list[int]:
    """Epochs like 150,180,210, in growing order."""
    try:
        epochs = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        epochs = [0]
    if any(epoch < 1 for epoch in epochs) or epochs != sorted(set(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of growing epochs from 1, like 150,180,210")
    return epochs
