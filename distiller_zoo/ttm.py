"""Response knowledge without a student's temperature: the teacher's probabilities to a power below 1."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_of_logs, teacher_logits
from distiller_zoo.maps import precise
from helper.arguments import positive_float
from helper.batch import Batch, Output


def transformed_divergence(z_s: Tensor, z_t: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
    """KL of the transformed teacher from the student, and the sum of the teacher's probabilities to the power
    of `exponent`, each (B,), of logits (B, C).

    The transformed teacher is softmax(exponent * z_t), the same as the powers over their sum but for
    probabilities that underflow.
    """
    log_p_s = F.log_softmax(precise(z_s), dim=1)
    z_t = teacher_logits(z_t)
    divergence = kl_of_logs(log_p_s, F.log_softmax(exponent * z_t, dim=1))
    powers = (exponent * F.log_softmax(z_t, dim=1)).exp().sum(dim=1)
    return divergence, powers


class TTMLoss(nn.Module):
    """KL(softmax(exponent * z_t) || softmax(z_s)), batch mean; neither a temperature of the student nor T^2.

    Zheng, Yang: "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024, section 3.
    https://arxiv.org/abs/2402.11148

    Published code: probabilities are raised to the power, so that one that has underflowed stays 0; here the
    logits are multiplied, which has no such limit.

    exponent: of the teacher's probabilities, 1 / T in the words of KD.

        >>> import torch
        >>> z_s, z_t = torch.zeros(1, 3), torch.tensor([[10.0, 0.0, 0.0]])
        >>> round(TTMLoss(exponent=0.1)(z_s, z_t).item(), 4)
        0.1233
    """

    def __init__(self, exponent: float = 0.1):
        super().__init__()
        self.exponent = exponent

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        return transformed_divergence(z_s, z_t, self.exponent)[0].mean()


class TTM(Distiller):
    """TTM beside plain CE, with the weight published for vgg13 and vgg8: the only pair with one."""

    label = "TTM"
    formula = "KL(softmax(g z_t), softmax(z_s)), g = 0.1"
    weights = LossWeights(1.0, 0.0, 45.0)

    def __init__(
        self,
        example: Example,
        *,
        ttm_exponent: Annotated[float, positive_float, "TTM: power of the teacher's probabilities"] = 0.1,
    ):
        super().__init__(example)
        self.loss = TTMLoss(ttm_exponent)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)
