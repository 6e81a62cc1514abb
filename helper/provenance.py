"""Where a result comes from: versions and commit."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

PROJECT_VERSION = "0.2.0"  # also in pyproject.toml


def versions() -> dict[str, str]:
    """Versions of Python, torch, numpy and this project."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "modreduce": PROJECT_VERSION,
    }


def git_commit() -> str | None:
    """The commit of this project's checkout, with '+' if files differ from it; None outside of git."""
    root = Path(__file__).resolve().parent.parent
    try:
        call = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return (
            subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            or None
        )
    except (OSError, subprocess.SubprocessError):
        return None
