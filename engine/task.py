"""What the training loop asks of the thing that it trains. The loop knows no network, no method and no
ensemble.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from helper.batch import Batch

TRAINING, PRETRAINING = "training", "pretraining"
LABELLED = "labelled"


class Logged(NamedTuple):
    """What a step logs: the names of its terms, and their means over the batch, (students,
    terms), on the device.

    The first two terms are 'loss' and 'correct'; a term that a student does not have is 0. Where images may
    be without a label, whose answers are never correct, LABELLED is the share of the others. order: what
    sorts each term among those of students that other processes train.
    """

    terms: tuple[str, ...]
    values: Tensor
    order: tuple[tuple[int, int], ...] = ()


class Task(nn.Module, ABC):
    """Something with students that a loop can train, evaluate, save and restore.

    students: modules with a `plan` (name, model, method, weights, multiplier, arch), a `network` and a
    `distiller` or None; ensemble: what fuses them, if anything does; fixed_batch: whether a short last batch
    has to be dropped; views: further views of a batch that some method reads; apart: None, or a list to which
    `forward` adds what stands in the loss for a student's cross-entropy, and that cross-entropy, so that a
    step can have the gradient of either side. The `state_dict` holds all that training changes, but for
    random streams.
    """

    students: nn.ModuleList
    ensemble: str | None = None
    fixed_batch: bool = False
    views: tuple[str, ...] = ()
    apart: list[tuple[Tensor, Tensor]] | None = None
    device: torch.device

    @property
    def names(self) -> list[str]:
        """The students' names."""
        return [student.plan.name for student in self.students]

    @property
    def form(self) -> Hashable:
        """What a step does; a captured step holds as long as it stays the same."""
        return ""

    @abstractmethod
    def pretraining_epochs(self, asked: int | None) -> int:
        """Epochs of the first stage, `asked` or the methods' own; 0 where no method has one."""

    @abstractmethod
    def begin_stage(self, name: str) -> None:
        """Prepare the stage of that name, TRAINING or PRETRAINING."""

    @abstractmethod
    def parameter_groups(self) -> list[dict]:
        """Groups for the stage's optimizer: 'params', 'lr', 'name', and 'decays' (whether the schedule
        applies).
        """

    @abstractmethod
    def begin_epoch(self, epoch: int, epochs: int) -> float | None:
        """Prepare epoch `epoch` (from 0; negative in the first stage); returns a schedule's value to log."""

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, Logged]:
        """The loss to differentiate, and what is logged, detached."""

    @abstractmethod
    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Logits (B, C) by student (and 'ensemble'), and the ensemble's weights (students,)."""

    @abstractmethod
    def teacher_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None] | None:
        """The teacher's logits (B, C) under the name 'teacher'; None without one."""

    @abstractmethod
    def ensemble_state(self) -> dict:
        """Plain values and tensors from which the ensemble can be built again; empty without one."""

    def schedule(self, epoch: int, epochs: int) -> Sequence[float]:
        """The numbers that the methods' schedules give in epoch `epoch` of a run of `epochs`."""
        return []

    @property
    def averaged(self) -> dict[str, nn.Module]:
        """The moving averages of the students' networks by name; empty where none are kept."""
        return {}

    def averaged_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None]:
        """Logits (B, C) of these by name."""
        return {}, None

    def after_step(self) -> None:
        """Called after each step of the optimizer."""

    def collect(self) -> None:
        """Have the students of the first rank's task be what the ranks that train them made of them."""

    def taps(self) -> dict[str, list[str]]:
        """The modules that give the maps of networks of other code, by what the networks are called."""
        return {}

    def remarks(self) -> list[str]:
        """Lines to say before training."""
        return []

    def generators(self) -> list[torch.Generator]:
        """The random streams of its own that the task draws from."""
        return []

    def compile(self, **options: Any) -> None:
        """Compile what is worth it with torch.compile and its options, in place."""
