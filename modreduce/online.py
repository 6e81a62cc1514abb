"""What every way of learning online has in common, and the way that learns nothing: offline only."""

import argparse

import torch
from torch import Tensor, nn

from helper.batch import Batch
from modreduce.student import Student


class OnlineMethod(nn.Module):
    """Offline only (`--online none`), and the base of the ensembles.

    An ensemble sees the students' logits once per step and says what each student's total loss is. Whatever
    it remembers (weights, averages, the schedule) is a parameter or a buffer of it, so that a checkpoint
    holds it.

    name: the word after `--online`; fewest_students: how many it needs; has_ensemble: whether it gives fused
    logits.
    """

    name = "none"
    fewest_students = 1
    has_ensemble = False

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        """Add the method's own flags."""

    def __init__(self, students: list[Student], num_classes: int, args: argparse.Namespace):
        super().__init__()
        self.register_buffer("weight", torch.zeros(()))

    def begin_epoch(self, epoch: int, epochs: int) -> float | None:
        """Set the schedule for the epoch; returns the online weight to log, None where there is none."""
        return None

    def losses(
        self, students: list[Student], logits: list[Tensor], terms: list[dict[str, Tensor]], batch: Batch
    ) -> tuple[list[Tensor], Tensor | None]:
        """Each student's total loss, and the ensemble's own loss if it trains itself.

        logits: N tensors (B, C), with gradients; terms: what `Student.forward` gave, to which 'online' is
        added.
        """
        return [student.offline(t) for student, t in zip(students, terms, strict=True)], None

    def after_step(self, students: list[Student]) -> None:
        """Called after the optimizer's step."""

    def fuse(
        self, students: list[Student], logits: list[Tensor], images: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Fused logits (B, C) and each student's weight (N,) in them, averaged over the images; None without
        ensemble.
        """
        return None
