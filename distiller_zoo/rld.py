"""Response knowledge with the teacher's mistakes left out: classes it puts above the label do not count."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import MASKED, binary_logs, is_target, kl_divergence, kl_of_logs, teacher_logits
from distiller_zoo.kd import TEMPERATURE
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output


class RLDLoss(nn.Module):
    """alpha times the divergence of the student's confidence in the label from the teacher's in its own best
    class, plus beta times the divergence over the classes that the teacher puts below the label.

    Both are batch means times the square of their temperature. If the label is the teacher's last class no
    class is left, and the second part is 0. Sun et al.: "Knowledge Distillation with Refined Logits", ICCV
    2025. https://arxiv.org/abs/2408.07703

    alpha, beta: weights; T: temperature of the second part, alpha_T: of the first (None: T).

        >>> import torch
        >>> z = torch.tensor([[3.0, 1.0, 0.0]])
        >>> RLDLoss()(z, z, torch.tensor([0])).item()
        0.0
    """

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, T: float = 4.0, alpha_T: float | None = None):
        super().__init__()
        self.alpha, self.beta, self.T = alpha, beta, T
        self.alpha_T = T if alpha_T is None else alpha_T

    def forward(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C) with labels (B,)."""
        z_s, z_t = precise(z_s), teacher_logits(z_t)
        target = is_target(labels, z_s.shape[1])
        best = is_target(z_t.argmax(dim=1), z_s.shape[1])
        log_p_s, log_p_t = (F.log_softmax(z / self.alpha_T, dim=1) for z in (z_s, z_t))
        confidence = kl_of_logs(binary_logs(log_p_s, target), binary_logs(log_p_t, best))
        above = z_t >= z_t.gather(1, labels[:, None])
        below_s, below_t = ((z / self.T).masked_fill(above, MASKED) for z in (z_s, z_t))
        correlation = kl_divergence(below_s, below_t)
        return self.alpha * self.alpha_T**2 * confidence.mean() + self.beta * self.T**2 * correlation.mean()


class RLD(Distiller):
    """RLD beside plain CE, its weight rising over the first 20 epochs.

    Published runs have beta 8 or 4, here 8 for every pair of networks.
    """

    label = "RLD"
    formula = (
        "alpha T^2 KL((p_max, rest)_t, (p_y, rest)_s) + beta T^2 KL over the classes below the label for the "
        "teacher"
    )
    weights = LossWeights(1.0, 0.0, 1.0)
    warm_up = 20
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        rld_alpha: Annotated[float, non_negative_float, "RLD: weight of the confidence"] = 1.0,
        rld_beta: Annotated[float, non_negative_float, "RLD: weight of the classes below the label"] = 8.0,
        rld_alpha_T: Annotated[
            float | None, positive_float, "RLD: temperature of the confidence (default: --kd_T)"
        ] = None,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
    ):
        super().__init__(example)
        self.loss = RLDLoss(rld_alpha, rld_beta, kd_T or TEMPERATURE, rld_alpha_T)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits, batch.labels)
