"""Response knowledge: the teacher's softened probabilities."""

from typing import Annotated, Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import teacher_logits
from distiller_zoo.maps import precise
from distiller_zoo.standardise import standardised
from helper.arguments import positive_float
from helper.batch import Batch, Output

TEMPERATURE = 4.0


class Standardised(NamedTuple):
    """What was published with standardised logits for a pair of networks."""

    T: float
    weight: float


STANDARDISED_CE = 0.1
# By (teacher, student): the names of the published logs of "Logit Standardization", 2024.
STANDARDISED = {
    ("resnet32x4", "resnet8x4"): Standardised(2.0, 9.0),
    ("vgg13", "vgg8"): Standardised(3.0, 9.0),
    ("wrn_40_2", "wrn_40_1"): Standardised(2.0, 9.0),
    ("wrn_40_2", "wrn_16_2"): Standardised(2.0, 9.0),
    ("resnet56", "resnet20"): Standardised(2.0, 9.0),
    ("resnet110", "resnet32"): Standardised(2.0, 9.0),
    ("resnet110", "resnet20"): Standardised(4.0, 12.0),
    ("resnet32x4", "ShuffleV2"): Standardised(2.0, 9.0),
    ("vgg13", "MobileNetV2"): Standardised(3.0, 9.0),
    ("ResNet50", "MobileNetV2"): Standardised(3.0, 1.0),
}
STANDARDISED_ELSEWHERE = Standardised(2.0, 9.0)


class DistillKL(nn.Module):
    """T^2 * KL(softmax(z_t / T) || softmax(z_s / T)), batch mean.

    Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", arXiv 2015, section 2.
    https://arxiv.org/abs/1503.02531

    T: temperature, above 0; standardise: whether both logits are standardised first (see
    `distiller_zoo.standardise`).

        >>> import torch
        >>> z_s, z_t = torch.zeros(2, 3), torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> round(DistillKL(T=4.0)(z_s, z_t).item(), 4)
        0.9863
    """

    def __init__(self, T: float, standardise: bool = False):
        super().__init__()
        self.T, self.standardise = T, standardise

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        z_s, z_t = precise(z_s), teacher_logits(z_t)
        if self.standardise:
            z_s, z_t = standardised(z_s), standardised(z_t)
        log_p_s, log_p_t = (F.log_softmax(z / self.T, dim=1) for z in (z_s, z_t))
        return F.kl_div(log_p_s, log_p_t, reduction="batchmean", log_target=True) * self.T**2


class KD(Distiller):
    """The student that learns from the teacher's logits alone.

    Every student has that term already, weighted by --alpha; so this method adds nothing (weight 0) unless
    asked to. With --logit_stand that term is on standardised logits, with the pair's published temperature
    and weights.

    Published code: that of standardised logits changed the defaults of its plain KD as well, to T 2 and
    weight 9, so that this is not the published baseline; here they belong to --logit_stand. A row of equal
    logits has a gradient of NaN there and none here.
    """

    label = "KD"
    formula = "T^2 KL(p_t, p_s), T = 4"
    weights = LossWeights(1.0, 1.0, 0.0)
    multiplier = 10.0

    def __init__(
        self,
        example: Example,
        *,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
        logit_stand: Annotated[
            bool, "standardise the logits within the distillation term (kd, dkd, mlkd)"
        ] = False,
    ):
        super().__init__(example)
        pair = example.student_model, example.teacher_model
        self.loss = self.kd_loss(*pair, kd_T=kd_T, logit_stand=logit_stand)

    @classmethod
    def weights_for(
        cls, student: str, teacher: str, *, logit_stand: bool = False, **flags: Any
    ) -> LossWeights:
        """`weights`, or for standardised logits what was published for the pair (else 0.1, 9 and 0)."""
        if not logit_stand:
            return cls.weights
        weight = STANDARDISED.get((teacher, student), STANDARDISED_ELSEWHERE).weight
        return LossWeights(STANDARDISED_CE, weight, 0.0)

    @classmethod
    def kd_loss(
        cls,
        student: str,
        teacher: str,
        *,
        kd_T: float | None = None,
        logit_stand: bool = False,
        **flags: Any,
    ) -> DistillKL:
        """KD at --kd_T, or else at 4, for standardised logits at the pair's temperature (unknown: 2)."""
        T = STANDARDISED.get((teacher, student), STANDARDISED_ELSEWHERE).T if logit_stand else TEMPERATURE
        return DistillKL(kd_T or T, logit_stand)

    @classmethod
    def has_free_scale(cls, *, logit_stand: bool = False, **flags: Any) -> bool:
        return logit_stand

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)
