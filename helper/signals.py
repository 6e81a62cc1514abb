"""Watching a run without holding it up: its sums while it trains, and signals that ask it to stop."""

import signal
from collections.abc import Callable
from typing import Any


class StopSignals:
    """While training runs, SIGINT and SIGTERM ask the loop to save and leave; a second one ends it."""

    def __init__(self, stop: Callable[[int], None]):
        self.stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        self.stop(number)
        signal.signal(number, self._before[number])
