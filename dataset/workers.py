"""How the processes that read pictures live beside the one that trains."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from helper.errors import UserError, is_out_of_memory, one_line


def apart_from_the_trainer(worker: int) -> None:
    """Put a worker into a group of processes of its own: what the terminal or a scheduler says to the run's
    group reaches the trainer alone, which finishes its step and then ends its workers.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def start_method() -> str | None:
    """Workers are forked on Linux, at once and with all that they need, and start as is usual elsewhere."""
    return "fork" if sys.platform == "linux" else None


@contextmanager
def more_than_cores() -> Iterator[None]:
    """Let whoever asks for more workers than there are cores have them without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


@contextmanager
def told_of_workers(workers: int) -> Iterator[None]:
    """Say in one line that a worker died, which torch tells in many."""
    try:
        yield
    except RuntimeError as error:
        if not workers or "DataLoader worker" not in str(error) or is_out_of_memory(error):
            raise
        raise UserError(
            f"a process that reads pictures died ({one_line(error)[:160]}): what was saved before is whole; "
            "the "
            f"memory may be full: use fewer than --workers {workers}"
        ) from error
