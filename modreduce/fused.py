"""Ensembles that fuse the students' logits into one output, which every student is pulled towards."""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor

from distiller_zoo import DistillKL
from helper.batch import Batch
from helper.device import full_precision
from modreduce.online import OnlineMethod
from modreduce.schedule import online_weight
from modreduce.student import Student


class FusedEnsemble(OnlineMethod):
    """Fused logits g of the students' detached logits; g trains by cross-entropy, students see it detached.

    Total loss of student k: w * KD(z_k, g, T = 4) + (1 - w) * offline_k, with w of `online_weight`
    (ModReduce). A subclass says in `combine` how logits become one output.
    """

    fewest_students = 2
    has_ensemble = True

    def __init__(self, students: list[Student], num_classes: int, args: argparse.Namespace):
        super().__init__(students, num_classes, args)
        self.count = len(students)
        self.kd = DistillKL(args.kd_T)
        self.start, self.final = args.online_start, args.online_weight
        self.first = args.online_weight_start

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Fused logits (B, C) and weights (N,) from stacked logits (N, B, C) and images (B, 3, H, W)."""
        raise NotImplementedError

    def online_weight(self, epoch: int, epochs: int) -> float:
        """Weight of the online loss in epoch `epoch` (from 0): growing, or from `--online_start` on at its
        full size.
        """
        if self.start:
            return self.final if epoch >= self.start else 0.0
        return online_weight(epoch, epochs, self.first, self.final)

    def begin_epoch(self, epoch: int, epochs: int) -> float:
        weight = self.online_weight(epoch, epochs)
        self.weight.fill_(weight)
        return weight

    def losses(
        self, students: list[Student], logits: list[Tensor], terms: list[dict[str, Tensor]], batch: Batch
    ) -> tuple[list[Tensor], Tensor]:
        fused, _ = self.fuse(students, [z.detach() for z in logits], batch.images)
        target = fused.detach()
        totals = []
        for student, z, own in zip(students, logits, terms, strict=True):
            own["online"] = self.kd(z, target)
            totals.append(self.weight * own["online"] + (1.0 - self.weight) * student.offline(own))
        return totals, F.cross_entropy(fused, batch.labels)

    def fuse(self, students: list[Student], logits: list[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        with full_precision(images.device.type):
            return self.combine(torch.stack(logits), images)
