"""Watching a run without holding it up: its sums while it trains, and signals that ask it to stop."""

import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SECONDS_BETWEEN_LOOKS = 0.5


class Look:
    """Reads the sums now and then without making the device wait: on a GPU they are copied aside while it
    works.
    """

    def __init__(self, sums: Tensor):
        self.sums = sums
        self.asynchronous = sums.device.type == "cuda"
        self._aside = (
            torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True) if self.asynchronous else None
        )
        self._arrived: torch.cuda.Event | None = None
        self._steps = 0
        self._next = time.perf_counter() + SECONDS_BETWEEN_LOOKS

    def now_and_then(self, steps: int) -> tuple[Tensor, int] | None:
        """The sums and how many steps they are of, at most twice a second; else None."""
        if self._arrived is not None and self._arrived.query():
            self._arrived = None
            return self._aside, self._steps
        if time.perf_counter() < self._next or self._arrived is not None:
            return None
        self._next = time.perf_counter() + SECONDS_BETWEEN_LOOKS
        if not self.asynchronous:
            return self.sums, steps
        self._aside.copy_(self.sums, non_blocking=True)
        self._arrived, self._steps = torch.cuda.Event(), steps
        self._arrived.record()
        return None


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
