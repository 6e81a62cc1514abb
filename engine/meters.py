"""Watching the sums of a run while it trains, without holding it up."""

import time

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
