"""What the shell scripts of this folder start."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def in_root(name: str) -> str:
    """Where a command of the root stands."""
    return str(ROOT / name)


def as_typed(name: str) -> str:
    """A command of the root, as it is typed from where the user stands."""
    return name if Path.cwd() == ROOT else in_root(name)
