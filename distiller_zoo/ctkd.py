"""Response knowledge at a temperature that is trained against the student, more so from epoch to epoch."""

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_divergence, teacher_logits
from distiller_zoo.dkd import ALPHA, BETA, BETA_ELSEWHERE, decoupled
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float, positive_float, positive_int
from helper.batch import Batch, Output


def ascent(epoch: int, loops: int) -> float:
    """The factor of the temperature's gradient in an epoch from 1: 0 at first, -1 from epoch `loops` on."""
    return -(1 - math.cos(math.pi * min(epoch, loops) / loops)) / 2


class GlobalTemperature(nn.Module):
    """start + span * sigmoid(global_T), one trained number for all images.

    Its gradient is multiplied by the buffer `strength`, which is negative: what minimises a loss raises it
    over the temperature.
    """

    def __init__(self, start: float = 1.0, span: float = 20.0):
        super().__init__()
        self.start, self.span = start, span
        self.global_T = nn.Parameter(torch.ones(1))
        self.register_buffer("strength", torch.tensor(ascent(1, 10)))

    def forward(self) -> Tensor:
        """The temperature (1,)."""
        fixed = self.global_T.detach()
        return self.start + self.span * torch.sigmoid(fixed + self.strength * (self.global_T - fixed))


class CTKDLoss(nn.Module):
    """T^2 * KL(softmax(z_t / T) || softmax(z_s / T)), batch mean, at a trained temperature.

    Li et al.: "Curriculum Temperature for Knowledge Distillation", AAAI 2023.
    https://arxiv.org/abs/2211.16231

    The temperature's gradient passes through the teacher's probabilities and T^2 too.

    start, span: the temperature lies between start and start + span.

        >>> import torch
        >>> loss = CTKDLoss()
        >>> round(loss.temperature().item(), 2)
        15.62
    """

    def __init__(self, start: float = 1.0, span: float = 20.0):
        super().__init__()
        self.temperature = GlobalTemperature(start, span)

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        T = self.temperature()
        return (kl_divergence(precise(z_s), teacher_logits(z_t), T).mean() * T**2).squeeze()


class CTKDDKDLoss(nn.Module):
    """DKD at CTKD's trained temperature.

    Published code: the temperature's gradient is NaN in torch 2, since in DKD's second part the teacher's
    probability of the target is 0; here it is finite.

    alpha, beta: weights of DKD's parts; start, span: as in CTKDLoss.
    """

    def __init__(self, alpha: float = ALPHA, beta: float = 2.0, start: float = 1.0, span: float = 20.0):
        super().__init__()
        self.alpha, self.beta = alpha, beta
        self.temperature = GlobalTemperature(start, span)

    def forward(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C) with labels (B,)."""
        T = self.temperature()
        parts = decoupled(precise(z_s), teacher_logits(z_t), labels, T)
        return self.alpha * parts[0].mean() + self.beta * parts[1].mean()


class CTKD(Distiller):
    """CTKD: KD whose temperature makes it harder, its ascent growing over the first --ctkd_loops epochs.

    The temperature is trained and decayed with the student's weights, as published.

    Published code: one temperature for all images is all that it has; one for each is only described. The
    defaults of its flags, batches of 128 and a learning rate of 0.1, are not those of its runs, 64 and 0.05.
    """

    label = "CTKD"
    formula = "T^2 KL(p_t, p_s) with T = 1 + 20 sigmoid(w), w trained to raise it"
    weights = LossWeights(0.1, 0.0, 0.9)

    def __init__(
        self,
        example: Example,
        *,
        ctkd_start: Annotated[float, positive_float, "CTKD: the lowest temperature"] = 1.0,
        ctkd_span: Annotated[float, positive_float, "CTKD: how far the temperature may be above it"] = 20.0,
        ctkd_loops: Annotated[int, positive_int, "CTKD: epochs until the ascent is at full strength"] = 10,
    ):
        super().__init__(example)
        self.loops = ctkd_loops
        self.loss: CTKDLoss | CTKDDKDLoss = CTKDLoss(ctkd_start, ctkd_span).to(example.labels.device)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.loss.temperature.strength.fill_(ascent(epoch + 1, self.loops))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)


class CTKDDKD(CTKD):
    """DKD at CTKD's temperature, without a warm-up, with DKD's published weights for the pair."""

    label = "CTKD + DKD"
    formula = "DKD with T = 1 + 20 sigmoid(w), w trained to raise it"
    weights = LossWeights(1.0, 0.0, 1.0)
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        dkd_alpha: Annotated[
            float | None, non_negative_float, "DKD: weight of the target class against the rest (default 1)"
        ] = None,
        dkd_beta: Annotated[
            float | None, non_negative_float, "DKD: weight of the other classes (default: the pair's)"
        ] = None,
        ctkd_start: Annotated[float, positive_float, "CTKD: the lowest temperature"] = 1.0,
        ctkd_span: Annotated[float, positive_float, "CTKD: how far the temperature may be above it"] = 20.0,
        ctkd_loops: Annotated[int, positive_int, "CTKD: epochs until the ascent is at full strength"] = 10,
    ):
        super().__init__(example, ctkd_start=ctkd_start, ctkd_span=ctkd_span, ctkd_loops=ctkd_loops)
        pair = (example.teacher_model, example.student_model)
        self.loss = CTKDDKDLoss(
            ALPHA if dkd_alpha is None else dkd_alpha,
            BETA.get(pair, BETA_ELSEWHERE) if dkd_beta is None else dkd_beta,
            ctkd_start,
            ctkd_span,
        ).to(example.labels.device)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits, batch.labels)
