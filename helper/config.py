"""Flags from a JSON file, as --config takes it: a user's own, or the args.json of a run, to repeat it."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helper.errors import UserError
from helper.results import read_json

LONGEST_SHOWN = 60
FOUND = ("resolved", "taps")  # what a run's settings came to, beside the parts that hold its flags


def read_config(path: Path) -> dict[str, Any]:
    """What a file says of each flag, by the flags' names; of a run's args.json its settings, side by side.

    Raises UserError for a file that cannot be read, is no JSON object, or is a run's of version 0.1.
    """
    content = read_json(path)
    if not isinstance(content, Mapping):
        raise UserError(f'{path} holds {shown(content)}, no JSON object: write it like {{"epochs": 60}}')
    settings = content.get("settings")
    if not isinstance(settings, Mapping):
        return dict(content)
    parts = {name: part for name, part in settings.items() if name not in FOUND}
    if not all(isinstance(part, Mapping) for part in parts.values()):
        raise UserError(
            f"{path} is of a run of version 0.1, which is not read: write the flags of its 'command' instead"
        )
    return {name: value for part in parts.values() for name, value in part.items()}


def is_setting(action: argparse.Action) -> bool:
    """Whether a flag says something of a run, in difference to --help, --list, --config and unseen ones."""
    if action.default is argparse.SUPPRESS:
        return False
    return action.nargs != 0 or action.const is True


def value_for(action: argparse.Action, given: Any) -> Any:
    """A value from a file as the flag makes it of typed words, by the same check.

    A switch takes true or false, a flag of several words a list or one value, one like --lr_decay_epochs a
    list of its parts. Raises ArgumentTypeError with what is wrong.
    """
    if action.nargs == 0:
        if not isinstance(given, bool):
            raise argparse.ArgumentTypeError(f"{shown(given)} is neither true nor false")
        return given
    if action.nargs is not None:
        values = given if isinstance(given, list) else [given]
        if not values:
            raise argparse.ArgumentTypeError("expected at least one value")
        return [_checked(action, _joined(value)) for value in values]
    if not isinstance(given, list):
        return _checked(action, word_of(given))
    value = _checked(action, _joined(given))
    if not isinstance(value, list):
        raise argparse.ArgumentTypeError(f"{shown(given)} is a list, where one value is allowed")
    return value


def _joined(value: Any) -> str:
    """A value as one word: of a list, as that of a student's taps is, its parts; null is the word none."""
    if value is None:
        return "none"
    return ",".join(map(word_of, value)) if isinstance(value, list) else word_of(value)


def word_of(value: Any) -> str:
    """A number or a string of a file as one would type it."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise argparse.ArgumentTypeError(f"{shown(value)} is neither a number nor a string")
    word = str(value)
    try:
        typed = b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        typed = False
    if not typed:
        raise argparse.ArgumentTypeError(f"{shown(value)} has characters that no word can have")
    return word


def shown(value: Any) -> str:
    """A value for a line that is to stay short."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _checked(action: argparse.Action, word: str) -> Any:
    value = word if action.type is None else action.type(word)
    if action.choices is not None and value not in action.choices:
        allowed = ", ".join(map(repr, action.choices))
        raise argparse.ArgumentTypeError(f"invalid choice: {value!r} (choose from {allowed})")
    return value
