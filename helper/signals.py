"""Signals that ask a program to stop: the first one asks, a second one ends it."""

import signal
import threading
from collections.abc import Callable
from typing import Any

# Ctrl-C, a scheduler's end, its warning beforehand, a closed terminal; those that the system knows
STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)
)


class StopSignals:
    """While it is entered, signals call `stop` with their number; a second one of its kind does what it did
    before, unless `every` one is to call `stop`.
    """

    def __init__(self, stop: Callable[[int], None], every: bool = False):
        self.stop, self.every = stop, every
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread of a program may ask for signals
        for number in STOPPING:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:  # under nohup a closed terminal is nobody's business
                self._before[number] = before
                signal.signal(number, self._handle)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        self.stop(number)
        if not self.every:
            signal.signal(number, self._before[number])
