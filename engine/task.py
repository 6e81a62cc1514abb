"""What the training loop asks of the thing that it trains. The loop knows no network, no method and no
ensemble.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from helper.batch import Batch

TERMS = ("loss", "correct", "ce", "kd", "method", "online")


class Entry(NamedTuple):
    """A student as a run's files name it: its name, its network's name, its method or None, its network."""

    name: str
    model: str
    method: str | None
    network: nn.Module


class Task(nn.Module, ABC):
    """Something with students that a loop can train, evaluate, save and restore.

    entries: one per student; ensemble: what fuses them, if anything does, and `fuser` its module;
    fixed_batch: whether a short last batch has to be dropped. The `state_dict` holds all that training
    changes, but for random streams.
    """

    entries: list[Entry]
    ensemble: str | None = None
    fixed_batch: bool = False
    device: torch.device

    @property
    def names(self) -> list[str]:
        """The students' names."""
        return [entry.name for entry in self.entries]

    @abstractmethod
    def ensemble_state(self) -> dict:
        """Plain values and tensors from which the ensemble can be built again; empty without one."""

    @abstractmethod
    def teacher_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None] | None:
        """The teacher's logits (B, C) under the name 'teacher'; None without one."""

    @abstractmethod
    def parameter_groups(self) -> list[dict]:
        """Groups for the optimizer: 'params', 'lr', 'name', and 'decays' (whether the schedule applies)."""

    @abstractmethod
    def begin_epoch(self, epoch: int, epochs: int) -> float | None:
        """Prepare epoch `epoch` (from 0); returns a schedule's value to log."""

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss to differentiate, and (students, TERMS) means over the batch, detached, on the device."""

    @abstractmethod
    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Logits (B, C) by student (and 'ensemble'), and the ensemble's weights (students,)."""

    def after_step(self) -> None:
        """Called after each step of the optimizer."""

    def generators(self) -> list[torch.Generator]:
        """The random streams of its own that the task draws from."""
        return []

    def compile(self, **options: Any) -> None:
        """Compile what is worth it with torch.compile and its options, in place."""

    def random_states(self) -> list[Tensor | None]:
        """The state of every random stream that the task draws from."""
        return []

    def set_random_states(self, states: list[Tensor | None]) -> None:
        """Restore what `random_states` gave."""
