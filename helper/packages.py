"""Packages that only some uses need, and how they are installed."""

import importlib.util
from collections.abc import Iterable

from helper.errors import UserError

INSTALL = "sh scripts/setup.sh extra"


def missing(packages: Iterable[str]) -> list[str]:
    """Which of the packages cannot be imported; none of them is."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def require(packages: Iterable[str], what: str) -> None:
    """Raise UserError, which names the packages that are missing, unless all are there.

    what: what needs them.
    """
    if absent := missing(packages):
        one = "package" if len(absent) == 1 else "packages"
        are = "is" if len(absent) == 1 else "are"
        raise UserError(f"{what} needs the {one} {', '.join(absent)}, which {are} missing: {INSTALL}")
