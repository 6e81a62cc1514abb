"""Response knowledge: the teacher's softened probabilities."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from helper.arguments import positive_float
from helper.batch import Batch, Output

TEMPERATURE = 4.0


class DistillKL(nn.Module):
    """T^2 * KL(softmax(z_t / T) || softmax(z_s / T)), batch mean.

    Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015, section 2.

    T: temperature, above 0.
    """

    def __init__(self, T: float):
        super().__init__()
        self.T = T

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Loss of the student's logits (B, C) against the teacher's (B, C)."""
        log_p_s = F.log_softmax(z_s.float() / self.T, dim=1)
        log_p_t = F.log_softmax(z_t.float() / self.T, dim=1)
        return F.kl_div(log_p_s, log_p_t, reduction="batchmean", log_target=True) * self.T**2


class KD(Distiller):
    """The student that learns from the teacher's logits alone.

    Every student has that term already, weighted by --alpha; so this method adds nothing (weight 0) unless
    asked to.
    """

    label = "KD"
    weights = LossWeights(1.0, 1.0, 0.0)
    multiplier = 10.0

    def __init__(
        self,
        example: Example,
        *,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
    ):
        super().__init__(example)
        self.loss = DistillKL(kd_T or TEMPERATURE)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)
