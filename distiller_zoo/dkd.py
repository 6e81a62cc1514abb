"""Response knowledge in two parts: how sure the teacher is, and what it says of all other classes."""

from typing import Annotated, Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import MASKED, binary_logs, is_target, kl_divergence, kl_of_logs, teacher_logits
from distiller_zoo.kd import TEMPERATURE
from distiller_zoo.maps import precise
from distiller_zoo.standardise import standardised
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output

ALPHA = 1.0
# By (teacher, student): the published settings of mdistiller.
BETA = {
    ("resnet32x4", "resnet8x4"): 8.0,
    ("resnet32x4", "ShuffleV1"): 8.0,
    ("resnet32x4", "ShuffleV2"): 8.0,
    ("wrn_40_2", "ShuffleV1"): 8.0,
    ("ResNet50", "MobileNetV2"): 8.0,
    ("vgg13", "vgg8"): 6.0,
    ("vgg13", "MobileNetV2"): 6.0,
    ("wrn_40_2", "wrn_16_2"): 6.0,
    ("wrn_40_2", "wrn_40_1"): 6.0,
    ("resnet56", "resnet20"): 2.0,
    ("resnet110", "resnet32"): 2.0,
}
BETA_ELSEWHERE = 8.0


class Standardised(NamedTuple):
    """What was published with standardised logits for a pair: `weight` is a factor of alpha and of beta."""

    T: float
    weight: float
    beta: float


# By (teacher, student): the names of the published logs of "Logit Standardization", 2024.
STANDARDISED = {
    ("resnet32x4", "resnet8x4"): Standardised(2.0, 9.0, 8.0),
    ("vgg13", "vgg8"): Standardised(2.0, 15.0, 2.0),
    ("wrn_40_2", "wrn_40_1"): Standardised(2.0, 12.0, 2.0),
    ("wrn_40_2", "wrn_16_2"): Standardised(2.0, 12.0, 2.0),
    ("resnet56", "resnet20"): Standardised(3.0, 18.0, 2.0),
    ("resnet110", "resnet32"): Standardised(2.0, 15.0, 2.0),
    ("resnet32x4", "ShuffleV2"): Standardised(2.0, 9.0, 8.0),
    ("vgg13", "MobileNetV2"): Standardised(3.0, 9.0, 2.0),
}
STANDARDISED_ELSEWHERE = Standardised(2.0, 9.0, 2.0)


def decoupled(z_s: Tensor, z_t: Tensor, labels: Tensor, T: float | Tensor) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD of each row, both (B,) and multiplied by T^2: target class against the rest, and the
    classes of the rest among themselves.

    z_s, z_t: logits (B, C) in at least float32; labels: (B,) int64. Gradients pass to T too, and are finite
    where the published code's are NaN (the target's own probability among the others is 0).
    """
    target = is_target(labels, z_s.shape[1])
    logs = [F.log_softmax(z / T, dim=1) for z in (z_s, z_t)]
    of_target = kl_of_logs(binary_logs(logs[0], target), binary_logs(logs[1], target))
    others_s, others_t = ((z / T).masked_fill(target, MASKED) for z in (z_s, z_t))
    return of_target * T**2, kl_divergence(others_s, others_t) * T**2


class DKDLoss(nn.Module):
    """alpha * TCKD + beta * NCKD, batch means at temperature T, times T^2.

    Zhao, Cui, Song, Qiu, Liang: "Decoupled Knowledge Distillation", CVPR 2022, equation 7.
    https://arxiv.org/abs/2203.08679

    Published code: it takes logarithms of probabilities, which gives NaN where one underflows (logits with a
    deviation of 300); here they stay finite.

    alpha, beta: weights of the two parts; T: temperature, above 0; standardise: whether both logits are
    standardised first (see `distiller_zoo.standardise`).

        >>> import torch
        >>> z_s, z_t = torch.zeros(1, 3), torch.tensor([[4.0, 0.0, 4.0]])
        >>> round(DKDLoss(beta=2.0)(z_s, z_t, torch.tensor([0])).item(), 3)
        3.825
    """

    def __init__(self, alpha: float = ALPHA, beta: float = 8.0, T: float = 4.0, standardise: bool = False):
        super().__init__()
        self.alpha, self.beta, self.T, self.standardise = alpha, beta, T, standardise

    def forward(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C) with labels (B,)."""
        z_s, z_t = precise(z_s), teacher_logits(z_t)
        if self.standardise:
            z_s, z_t = standardised(z_s), standardised(z_t)
        of_target, of_others = decoupled(z_s, z_t, labels, self.T)
        return self.alpha * of_target.mean() + self.beta * of_others.mean()


class DKD(Distiller):
    """DKD beside plain CE, its weight rising over the first 20 epochs.

    Pairs of networks without published weights get beta 8 (with --logit_stand T 2, alpha 9 and beta 18).
    """

    label = "DKD"
    formula = (
        "alpha T^2 KL(b_t, b_s) + beta T^2 KL(n_t, n_s); b = (p_y, 1 - p_y), n = p over the other classes"
    )
    weights = LossWeights(1.0, 0.0, 1.0)
    warm_up = 20
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        dkd_alpha: Annotated[
            float | None,
            non_negative_float,
            "DKD: weight of the target class against the rest (default 1; with --logit_stand the pair's)",
        ] = None,
        dkd_beta: Annotated[
            float | None,
            non_negative_float,
            "DKD: weight of the other classes (default: what was published for the pair, else 8)",
        ] = None,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
        logit_stand: Annotated[
            bool, "standardise the logits within the distillation term (kd, dkd, mlkd)"
        ] = False,
    ):
        super().__init__(example)
        pair = (example.teacher_model, example.student_model)
        alpha, beta, T = ALPHA, BETA.get(pair, BETA_ELSEWHERE), TEMPERATURE
        if logit_stand:
            T, weight, beta = STANDARDISED.get(pair, STANDARDISED_ELSEWHERE)
            alpha, beta = weight * ALPHA, weight * beta
        self.loss = DKDLoss(
            alpha if dkd_alpha is None else dkd_alpha,
            beta if dkd_beta is None else dkd_beta,
            kd_T or T,
            logit_stand,
        )

    @classmethod
    def has_free_scale(cls, *, logit_stand: bool = False, **flags: Any) -> bool:
        return logit_stand

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits, batch.labels)
