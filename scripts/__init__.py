"""What the shell scripts of this folder start."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def as_typed(script: str) -> str:
    """A command of the root, as it is typed from where the user stands."""
    return script if Path.cwd() == ROOT else str(ROOT / script)
