"""Collaborative learning: a target made of all students' logits, that no network has to learn."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distiller_zoo.kd import DistillKL
from helper.arguments import fraction, positive_float
from helper.batch import Batch
from helper.errors import UserError
from modreduce.mutual import MutualLearning
from modreduce.student import Student

TARGETS = ("mean", "minlogit", "naive")


LossOfLabels = Callable[[Tensor, Tensor], Tensor]


def mean_target(
    logits: Sequence[Tensor], labels: Tensor, label_loss: LossOfLabels = F.cross_entropy
) -> Tensor:
    """The mean (B, C) of all students' logits, N tensors (B, C)."""
    return torch.stack(list(logits)).mean(dim=0)


def minlogit_target(
    logits: Sequence[Tensor], labels: Tensor, label_loss: LossOfLabels = F.cross_entropy
) -> Tensor:
    """Per class the smallest logit over the students, after each has 0 at the label: (B, C).

    So the label has 0 and each other class what the student most sure of its error gives it. Guo et al., CVPR
    2020, section 3.3, "KDCL-MinLogit".
    """
    stacked = torch.stack(list(logits))
    own = stacked.gather(2, labels[None, :, None].expand(len(stacked), -1, 1))
    return (stacked - own).amin(dim=0)


def naive_target(
    logits: Sequence[Tensor], labels: Tensor, label_loss: LossOfLabels = F.cross_entropy
) -> Tensor:
    """The logits (B, C) of the student with the smallest loss of labels on the batch, who learns nothing."""
    losses = torch.stack([label_loss(z, labels) for z in logits])
    return torch.stack(list(logits)).index_select(0, losses.argmin(dim=0, keepdim=True)).squeeze(0)


TARGET_OF = {"mean": mean_target, "minlogit": minlogit_target, "naive": naive_target}


class Collaborative(MutualLearning):
    """KDCL: total loss of student k is (1 - a) * offline_k + a * KD(z_k, target, T), a = 0.5.

    The target, without gradient, is made of all students' logits, the student's own among them. Guo et al.:
    "Online Knowledge Distillation via Collaborative Learning", CVPR 2020, equations 2 to 8; there is no
    authors' code. The paper shows each student its own distortion of the image, here all see the same; its
    weighted targets, which need a problem solved per batch or a validation set, are left out.
    """

    name = "kdcl"

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        kdcl_target: Annotated[
            str, TARGETS, "kdcl: mean of the logits, smallest per class, or the best student's"
        ] = "mean",
        kdcl_T: Annotated[float, positive_float, "kdcl: temperature"] = 4.0,
        kdcl_alpha: Annotated[float, fraction, "kdcl: weight of the target, the rest is offline"] = 0.5,
        **schedule: Any,
    ):
        super().__init__(count, num_classes, **schedule)
        self.target, self.kd, self.full = TARGET_OF[kdcl_target], DistillKL(kdcl_T), kdcl_alpha

    def take_unlabelled(self) -> None:
        super().take_unlabelled()
        if self.target is minlogit_target:
            raise UserError(
                "--kdcl_target minlogit needs the label of every image, and some training images have none: "
                "allowed are mean and naive"
            )

    def peer_weight(self, epoch: int, epochs: int) -> float:
        return self.full

    def targets(self, logits: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        return [self.target(logits, batch.labels, self.label_loss)] * len(logits)

    def total(self, student: Student, logits: Tensor, terms: dict[str, Tensor], target: Tensor) -> Tensor:
        terms["online"] = self.kd(logits, target)
        return self.weight * terms["online"] + (1.0 - self.weight) * student.offline(terms)
