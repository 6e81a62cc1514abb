"""What an epoch's steps add up to: on the device, weighted by images, read without holding it up."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.task import LABELLED, Logged
from helper.distributed import Ranks

SECONDS_BETWEEN_LOOKS = 0.5
NOT_A_CAUSE = ("loss", "correct")  # a sum is not the cause of what is not finite, and comes after its parts


class Meters:
    """Sums of an epoch's logged terms, (students, terms), and which was the first to be not finite."""

    def __init__(self, names: Sequence[str], device: torch.device):
        self.names, self.device = list(names), device
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self.terms: tuple[str, ...] = ()
        self._order: list[tuple[int, ...]] = []
        self.images = self._steps = 0
        self._sums = torch.zeros(len(self.names), 0, dtype=torch.float64, device=self.device)
        self._finite_steps = torch.zeros(self._sums.shape, dtype=torch.int32, device=self.device)
        self._look: Look | None = None

    def add(self, logged: Logged, images: int) -> None:
        """Add a step's means over so many images; terms that come later in an epoch count from there."""
        if logged.terms != self.terms:
            self._widen(logged.terms, logged.order)
        values = logged.values
        if len(logged.terms) != len(self.terms):
            values = values.new_zeros(self._sums.shape)
            values[:, [self.terms.index(term) for term in logged.terms]] = logged.values
        self._sums += values.double() * images
        self._finite_steps += self._sums.isfinite()
        self.images += images
        self._steps += 1

    def _widen(self, terms: Sequence[str], order: Sequence[tuple[int, ...]] = ()) -> None:
        """Take in terms from here on; order: see `Logged`."""
        new = [term for term in terms if term not in self.terms]
        keys = dict(zip(terms, order, strict=False))
        self._order += [(self._steps, *keys.get(term, (0, 0)), terms.index(term)) for term in new]
        pad = (0, len(new))
        self._sums = torch.nn.functional.pad(self._sums, pad)
        self._finite_steps = torch.nn.functional.pad(self._finite_steps, pad, value=self._steps)
        self.terms = (*self.terms, *new)
        self._look = None

    def state(self) -> dict:
        """Where the sums stand, for a resume in the middle of an epoch."""
        return {"terms": list(self.terms), "images": self.images, "sums": self._sums}

    def load(self, state: dict, places: Sequence[int] | slice = slice(None)) -> None:
        """Go back to where `state` was taken, of which these are the students' places among all."""
        self.reset()
        self._widen(tuple(state["terms"]))
        self._order = [(-1, 0, 0, k) for k in range(len(self.terms))]
        self._sums.copy_(state["sums"][places])
        self.images = state["images"]

    def of_all(self, ranks: Ranks, names: Sequence[str]) -> "Meters":
        """The meters of all students, of these names, from those of all ranks; with one rank themselves.

        Terms stand in the order in which one process would have met them.
        """
        if ranks.world == 1:
            return self
        own = (self.names, self.terms, self._order, self._sums.cpu(), self._finite_steps.cpu())
        parts = ranks.of_all(own)
        order: dict[str, tuple[int, ...]] = {}
        for _, terms, keys, *_ in parts:
            for term, key in zip(terms, keys, strict=True):
                order[term] = min(order.get(term, key), key)
        whole = Meters(names, torch.device("cpu"))
        whole._steps, whole.images = self._steps, self.images
        whole._widen(sorted(order, key=order.__getitem__))
        for part, terms, _, *numbers in parts:
            columns = torch.tensor([whole.terms.index(term) for term in terms], dtype=torch.int64)
            rows = torch.tensor([whole.names.index(name) for name in part])[:, None]
            for all_of_them, found in zip((whole._sums, whole._finite_steps), numbers, strict=True):
                all_of_them[rows, columns] = found
        return whole

    def means(self) -> dict[str, list[float]]:
        """Each term's mean over the images so far, per student; waits for the device.

        That of 'correct' is over the images that have a label, if some have none.
        """
        return self._as_means(self._sums.cpu(), self.images)

    def _as_means(self, sums: Tensor, images: int) -> dict[str, list[float]]:
        means = dict(zip(self.terms, (sums / max(images, 1)).T.tolist(), strict=True))
        if (labelled := means.pop(LABELLED, None)) is not None:
            pairs = zip(means["correct"], labelled, strict=True)
            means["correct"] = [correct / share if share else 0.0 for correct, share in pairs]
        return means

    def now_and_then(self) -> dict[str, list[float]] | None:
        """The means a moment ago, at most twice a second and without making the device wait; else None."""
        if self._look is None:
            self._look = Look(self._sums)
        found = self._look.now_and_then(self.images)
        return None if found is None else self._as_means(*found)

    def first_broken(self, means: dict[str, list[float]]) -> tuple[str, str, float] | None:
        """(student, term, value) of the term that was the first to be not finite; None if all are finite."""
        broken = {
            (term, k): value
            for term, values in means.items()
            for k, value in enumerate(values)
            if not -float("inf") < value < float("inf")
        }
        if not broken:
            return None
        steps = self._finite_steps.cpu().tolist()
        order = sorted(self.terms, key=lambda term: NOT_A_CAUSE.index(term) if term in NOT_A_CAUSE else -1)
        term, k = min(broken, key=lambda key: (steps[key[1]][self.terms.index(key[0])], order.index(key[0])))
        return self.names[k], term, broken[term, k]


class Look:
    """Reads sums now and then without making the device wait: a GPU copies them aside while it works."""

    def __init__(self, sums: Tensor):
        self.sums = sums
        self.asynchronous = sums.device.type == "cuda"
        self._aside = (
            torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True) if self.asynchronous else None
        )
        self._arrived: torch.cuda.Event | None = None
        self._images = 0
        self._next = time.perf_counter() + SECONDS_BETWEEN_LOOKS

    def now_and_then(self, images: int) -> tuple[Tensor, int] | None:
        """The sums and how many images they are of, at most twice a second; else None."""
        if self._arrived is not None and self._arrived.query():
            self._arrived = None
            return self._aside, self._images
        if time.perf_counter() < self._next or self._arrived is not None:
            return None
        self._next = time.perf_counter() + SECONDS_BETWEEN_LOOKS
        if not self.asynchronous:
            return self.sums, images
        self._aside.copy_(self.sums, non_blocking=True)
        self._arrived, self._images = torch.cuda.Event(), images
        self._arrived.record()
        return None
