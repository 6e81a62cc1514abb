"""Response knowledge as in TTM, with more weight on the images of which the teacher is not sure."""

from typing import Annotated

from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.ttm import transformed_divergence
from helper.arguments import positive_float
from helper.batch import Batch, Output


class WTTMLoss(nn.Module):
    """The batch mean of U * TTM, U the sum over classes of the teacher's probabilities to the power of
    `exponent`.

    U lies between 1 and C^(1 - exponent), so that weights of TTM do not carry over. Zheng, Yang: "Knowledge
    Distillation Based on Transformed Teacher Matching", ICLR 2024, section 4.
    https://arxiv.org/abs/2402.11148

    Published code: probabilities are raised to the power, so that one that has underflowed stays 0; here the
    logits are multiplied, which has no such limit.

    exponent: of the teacher's probabilities.

        >>> import torch
        >>> z_s, z_t = torch.zeros(1, 3), torch.tensor([[10.0, 0.0, 0.0]])
        >>> round(WTTMLoss(exponent=0.1)(z_s, z_t).item(), 4)
        0.214
    """

    def __init__(self, exponent: float = 0.2):
        super().__init__()
        self.exponent = exponent

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        divergence, powers = transformed_divergence(z_s, z_t, self.exponent)
        return (powers * divergence).mean()


class WTTM(Distiller):
    """WTTM beside plain CE; exponent and weight are those published beside CRD, the only ones."""

    label = "WTTM"
    formula = "mean U KL(softmax(g z_t), softmax(z_s)); U = sum_k softmax(z_t)_k^g"
    weights = LossWeights(1.0, 0.0, 4.0)

    def __init__(
        self,
        example: Example,
        *,
        wttm_exponent: Annotated[float, positive_float, "WTTM: power of the teacher's probabilities"] = 0.2,
    ):
        super().__init__(example)
        self.loss = WTTMLoss(wttm_exponent)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)
