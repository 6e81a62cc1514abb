"""How the processes that read pictures live beside the one that trains."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from helper.errors import UserError, is_out_of_memory, one_line

LEFT_TO_THE_TRAINER = ("SIGINT", "SIGTERM", "SIGHUP")


def leave_signals_to_the_trainer(worker: int) -> None:
    """Go on reading when the whole group of processes is asked to stop: the trainer finishes its step first.

    A worker ends once the trainer is gone, or says so.
    """
    for name in LEFT_TO_THE_TRAINER:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


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
