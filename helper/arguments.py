"""Types of flags, and the parser that makes flags of a constructor's parameters."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from helper.config import is_setting, read_config, shown, value_for
from helper.errors import UserError
from helper.signature import Parameter, parameters_of
from helper.sizes import image_size  # noqa: F401 (a check that flags name)

LARGEST_INT = 2**31 - 1
LONGEST_TRIAL_NAME = 60
# flags of this field's other projects that mean nothing here, and why
NOT_NEEDED = {
    "num_workers": "batches are made on the device (pictures from files have --workers)",
    "print_freq": "there is a line per epoch, and a bar within it",
}
# the published teachers' files carry their settings as one, which only holds values
SETTINGS_OF_PUBLISHED_FILES = argparse.Namespace


def _number(kind: type, allowed: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """The type of a flag that takes a number; `allowed` says in words for which numbers `fits` is true."""

    def check(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if kind is int and value > LARGEST_INT:
            raise argparse.ArgumentTypeError(f"{text[:20]} is too large: at most {LARGEST_INT} is allowed")
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        if not fits(value):
            raise argparse.ArgumentTypeError(f"{value:g} is not {allowed}")
        return value

    check.__doc__ = f"{allowed[0].upper()}{allowed[1:]}."
    return check


positive_int = _number(int, "a whole number from 1", lambda value: value >= 1)
non_negative_int = _number(int, "a whole number from 0", lambda value: value >= 0)
positive_float = _number(float, "a number above 0", lambda value: value > 0)
non_negative_float = _number(float, "a number from 0", lambda value: value >= 0)
positive_fraction = _number(float, "a number above 0 and below 1", lambda value: 0 < value < 1)
fraction = _number(float, "a number from 0 to below 1", lambda value: 0 <= value < 1)


def normalisation(text: str) -> str:
    """The word imagenet or data, or mean and std of three channels as six numbers."""
    if text in ("imagenet", "data"):
        return text
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not all(0 <= n <= 1 for n in numbers) or not all(n >= 1e-6 for n in numbers[3:]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not imagenet, data, or six numbers from 0 to 1 like 0.5,0.5,0.5,0.2,0.2,0.2 (mean, "
            "std)"
        )
    return text


def path(text: str) -> Path:
    """A path; `~` is the home folder, also after an equals sign, where the shell leaves it as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a user without a home
        return Path(text)


def path_or_none(text: str) -> Path | None:
    """A path; None for the word none."""
    return None if text == "none" else path(text)


def file_name(text: str) -> str:
    """A word that can stand in a folder's name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text) or len(text) > LONGEST_TRIAL_NAME:
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be part of a folder's name: use letters, digits, '_', '-', '.', "
            f"at most {LONGEST_TRIAL_NAME}"
        )
    return text


def epoch_list(text: str) -> list[int]:
    """Epochs like 150,180,210, in growing order."""
    try:
        epochs = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        epochs = [0]
    if any(epoch < 1 for epoch in epochs) or epochs != sorted(set(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of growing epochs from 1, like 150,180,210")
    return epochs


def module_list(text: str) -> list[str] | None:
    """Paths of modules like layer1,layer2; None for the word none."""
    if text == "none":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of different modules, like layer1,layer2")
    return parts


CONFIG = {
    "type": path,
    "default": argparse.SUPPRESS,
    "metavar": "FILE.json",
    "help": 'flags as a JSON object, {"epochs": 60}, or the args.json of a run, to repeat it; typed ones win',
}
HIDDEN = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}


class _GpuId(argparse.Action):
    """--gpu_id: the device, unless --device says it."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: int, *_: Any):
        if namespace.device == parser.get_default("device"):
            namespace.device = f"cuda:{value}"


class _NotNeeded(argparse.Action):
    """A flag that is answered, and otherwise ignored."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: str, *_: Any):
        print(f"--{self.dest} is not needed: {NOT_NEEDED[self.dest]}", file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the script's docstring as its help.

    `add_flags` makes the flags of records, methods and ensembles from the parameters of their constructors,
    and `owners` remembers for each flag of a method or an ensemble whose it is. With `add_config` flags may
    stand in a file; null_words: what null means there for a flag, where it is not the flag's default.
    """

    def __init__(self, description: str | None):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self.owners: dict[str, list[str]] = {}
        self.null_words: dict[str, str] = {}
        self._takes_config = False
        self._known: dict[str, Parameter] = {}
        self._groups: dict[str, argparse._ArgumentGroup] = {}

    def error(self, message: str):
        """Raise UserError instead of printing the usage."""
        raise UserError(f"{message} (see {Path(sys.argv[0]).name} --help)")

    def add_flags(
        self,
        owner: str | type,
        title: str,
        names: Sequence[str] = (),
        without: Sequence[str] = (),
        choices: Mapping[str, Iterable[str]] = MappingProxyType({}),
    ) -> None:
        """A flag for each keyword-only parameter of a constructor, in the help's group of that title.

        owner: a class, or "module:Class", whose source is then read without importing it; names: remembered
        as the flags' owners; without: parameters that get no flag here; choices: the words that a flag
        allows, where only a registry knows them. A parameter is `Annotated[type, check, "help"]`, with a
        tuple of words as `check` for a choice, `Annotated[bool, "help"]` for a switch, and a dict of
        further words for argparse at the end if need be. Owners may share a flag. Raises ValueError where
        they differ about it.
        """
        group = self._group(title)
        for flag in parameters_of(owner, vars(sys.modules[__name__])):
            if flag.name in without:
                continue
            if flag.name in choices:
                flag = replace(flag, check=tuple(choices[flag.name]))
            if names:
                self.owners.setdefault(flag.name, []).extend(names)
            known = self._known.setdefault(flag.name, flag)
            if known is not flag:
                if (known.check, known.default) != (flag.check, flag.default):
                    raise ValueError(f"{owner}: --{flag.name} differs from another owner's flag of that name")
                continue
            self._add(group, flag)

    def _group(self, title: str) -> argparse._ArgumentGroup:
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title)
        return self._groups[title]

    def _add(self, group: argparse._ArgumentGroup, flag: Parameter) -> None:
        settings: dict[str, Any] = {"default": flag.default, "help": flag.text, **flag.more}
        if flag.check is bool:
            settings["action"] = "store_true"
        elif isinstance(flag.check, tuple):
            settings["choices"] = flag.check
        else:
            settings["type"] = flag.check
        shown = flag.default is not None and flag.check is not bool and "default" not in flag.text
        if shown:
            settings["help"] += f" (default {flag.default})"
        settings["help"] = settings["help"].replace("%", "%%")
        group.add_argument(*settings.pop("names", (f"--{flag.name}",)), **settings)

    def add_names_of_others(self) -> None:
        """Take the flags that commands of the field's other projects have, unseen in the help.

        --gpu_id N is --device cuda:N where there is no --device; the others are said to be unneeded.
        """
        self.add_argument("--gpu_id", type=non_negative_int, action=_GpuId, **HIDDEN)
        for name in NOT_NEEDED:
            self.add_argument(f"--{name}", action=_NotNeeded, **HIDDEN)

    def add_config(self, title: str) -> None:
        """Take --config FILE: flags from a JSON object, or from a run's args.json; those typed win."""
        self._takes_config = True
        self._group(title).add_argument("--config", **CONFIG)

    def parse_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """As argparse does, with what --config names in the place of defaults.

        Raises UserError, which names file and key, for a key that is no flag or a value that it refuses.
        """
        if not self._takes_config:
            return super().parse_args(args, namespace)
        finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        finder.error = self.error
        finder.add_argument("--config", **CONFIG)
        file, rest = finder.parse_known_args(args)
        if hasattr(file, "config"):
            namespace = argparse.Namespace(**self._from_file(file.config))
        return super().parse_args(rest, namespace)

    def _from_file(self, file: Path) -> dict[str, Any]:
        """The values of the flags that a file names, which need not be typed any more."""
        known = {action.dest: action for action in self._actions}
        flags = {name: action for name, action in known.items() if is_setting(action)}
        found = {}
        for name, given in read_config(file).items():
            if name not in (known if given is None else flags):  # a run's file has null for --list too
                near = [f", but {close!r} is" for close in get_close_matches(name, flags, 1)]
                self.error(f"{file}: {shown(name)} is no flag of this command{''.join(near)}")
            if given is None and (given := self.null_words.get(name)) is None:
                continue
            try:
                found[name] = value_for(flags[name], given)
            except argparse.ArgumentTypeError as error:
                self.error(f"{file}: {name}: {error}")
            flags[name].required = False
        return found

    def defaults(self, names: Iterable[str]) -> dict[str, Any]:
        """The defaults of the flags of these names."""
        return {name: self.get_default(name) for name in names}


def options_of(owner: str | type, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags say of the keyword-only parameters of a constructor."""
    return {flag.name: values[flag.name] for flag in parameters_of(owner, globals()) if flag.name in values}
