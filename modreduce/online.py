"""What every way of learning online has in common, and the way in which nobody does: offline only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor, nn

from distiller_zoo.standardise import standardised
from helper.arguments import fraction, non_negative_int, positive_float, positive_fraction
from helper.batch import Batch, Output
from helper.distributed import Ranks
from modreduce.labels import LabelLoss
from modreduce.schedule import online_weight

if TYPE_CHECKING:
    from modreduce.student import Student


class OnlineMethod(nn.Module):
    """Offline only (`--online none`), and the base of the ensembles.

    An ensemble sees the students' logits once per step and says what each student is pulled towards and what
    its total loss is. Whatever it remembers (weights, averages, the schedule) is a parameter or a buffer of
    it, so that a checkpoint holds it. It is built without students, so that a saved one can be loaded; `join`
    shows them to it.

    count: how many students; the keyword-only parameters of the constructor are the flags. name: the word
    after `--online`; fewest_students: how many it needs; has_ensemble: whether it gives fused logits;
    learning_rate: of its own parameters, never decayed.
    """

    name: ClassVar[str] = "none"
    fewest_students: ClassVar[int] = 1
    has_ensemble: ClassVar[bool] = False

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        online_start: Annotated[int, non_negative_int, "0: synchronous (default)", {"metavar": "EPOCH"}] = 0,
        online_weight: Annotated[float, fraction, "its largest size"] = 0.7,
        online_weight_start: Annotated[float, positive_fraction, "where a synchronous run starts"] = 0.01,
        ensemble_lr: Annotated[float, positive_float, "of what the ensemble learns"] = 0.1,
    ):
        super().__init__()
        self.count, self.num_classes = count, num_classes
        self.free_scale = [False] * count
        self.start, self.first, self.final = online_start, online_weight_start, online_weight
        self.learning_rate = ensemble_lr
        self.label_loss = LabelLoss()
        self.register_buffer("weight", torch.zeros(()))
        self.ranks = Ranks()

    def join(self, students: Sequence["Student"]) -> None:
        """Called once with the students, before training."""
        self.free_scale = [student.free_scale for student in students]

    def take_unlabelled(self) -> None:
        """Called before training if images may be without a label, which is then -1.

        Raises UserError if the ensemble needs the label of each.
        """
        self.label_loss.unlabelled = True

    def comparable(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """The students' logits, N tensors (B, C), those of a free scale brought to that of the others.

        Where nothing holds the scale of a student's logits (logit standardisation leaves it to chance), they
        would drown the others or vanish beside them. They are standardised, and multiplied by the mean
        standard deviation of those whose scale is held, or by 1 if there are none.
        """
        free = self.free_scale[: len(logits)]
        if not any(free):
            return list(logits)
        held = [z.std(dim=1).mean() for z, is_free in zip(logits, free, strict=True) if not is_free]
        scale = torch.stack(held).mean() if held else 1.0
        return [standardised(z) * scale if is_free else z for z, is_free in zip(logits, free, strict=True)]

    @property
    def form(self) -> str:
        """A word for what a step does; a captured step holds as long as it stays the same."""
        return ""

    def online_weight(self, epoch: int, epochs: int) -> float:
        """Weight of the online loss in epoch `epoch` (from 0): growing, or full from `--online_start` on."""
        if self.start:
            return self.final if epoch >= self.start else 0.0
        return online_weight(epoch, epochs, self.first, self.final)

    def begin_epoch(self, epoch: int, epochs: int) -> float | None:
        """Set the schedule for the epoch; returns the online weight to log, None where there is none."""
        return None

    def observe(self, outputs: Sequence[Output | None]) -> None:
        """Take what is needed of all students' Outputs beside their logits; called before `targets`.

        None for a student that another rank trains: `self.ranks.gather` has the ranks exchange tensors.
        """

    def targets(self, logits: Sequence[Tensor], batch: Batch) -> list[Tensor | None]:
        """What each student is pulled towards, from all students' detached logits, N tensors (B, C)."""
        return [None] * len(logits)

    def own_loss(self, batch: Batch) -> Tensor | None:
        """The loss of what the ensemble itself learns, of the logits that `targets` saw; None if it learns
        nothing.
        """
        return None

    def total(
        self, student: "Student", logits: Tensor, terms: dict[str, Tensor], target: Tensor | None
    ) -> Tensor:
        """A student's total loss.

        logits: (B, C), with gradients; terms: what `Student.forward` gave, to which 'online' is added;
        target: the student's of `targets`.
        """
        return student.offline(terms)

    def after_step(self, students: Sequence["Student | None"]) -> None:
        """Called after the optimizer's step; None for a student that another rank trains."""

    def parts(self, place: int) -> list[nn.Module]:
        """The modules that only the rank keeps up to date that trains the student of that place."""
        return []

    def fuse(self, logits: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor] | None:
        """Fused logits (B, C) and each student's weight (N,) in them, averaged over the images;
        None without ensemble.

        logits: N tensors (B, C); images: (B, 3, H, W).
        """
        return None
