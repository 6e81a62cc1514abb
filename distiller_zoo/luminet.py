"""Response knowledge of how an image's logits stand out among those of its batch, class by class."""

from typing import Annotated, Any, NamedTuple

from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_divergence, teacher_logits
from distiller_zoo.maps import precise
from helper.arguments import positive_float
from helper.batch import Batch, Output

EPSILON = 1e-5


class Setting(NamedTuple):
    """What was published for a pair: alpha^2 is the loss's factor, cross_entropy the weight of CE."""

    alpha: float
    T: float
    cross_entropy: float


# By (teacher, student): the settings in the published repository.
PUBLISHED = {
    ("resnet32x4", "resnet8x4"): Setting(33.0, 4.0, 2.0),
    ("vgg13", "vgg8"): Setting(70.0, 8.0, 1.0),
    ("wrn_40_2", "wrn_40_1"): Setting(75.0, 8.0, 1.0),
    ("wrn_40_2", "ShuffleV1"): Setting(35.0, 4.0, 1.0),
    ("vgg13", "MobileNetV2"): Setting(70.0, 8.0, 2.0),
    ("ResNet50", "MobileNetV2"): Setting(70.0, 8.0, 2.0),
}
ELSEWHERE = Setting(70.0, 8.0, 1.0)


def perceived(z: Tensor) -> Tensor:
    """(z - mean) / sqrt(variance + 1e-5) of each column of logits (B, C), a class over the batch."""
    centred = z - z.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + EPSILON).sqrt()


class LumiNetLoss(nn.Module):
    """alpha^2 * KL(softmax(h_t / T) || softmax(h_s / T)), batch mean, of logits h that are standardised per
    class over the batch.

    The loss changes with the batch size, and is 0 for one image. Hossain et al.: "LumiNet: Perception-Driven
    Knowledge Distillation via Statistical Logit Calibration", TMLR 2025.
    https://openreview.net/forum?id=3rU1lp9w2l

    Published code: the factor is alpha^2, not T^2, and so it is here.

    alpha: root of the factor; T: temperature, above 0.

        >>> import torch
        >>> z = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
        >>> round(LumiNetLoss(alpha=1.0, T=1.0)(-z, z).item(), 3)
        1.447
    """

    def __init__(self, alpha: float = 33.0, T: float = 4.0):
        super().__init__()
        self.alpha, self.T = alpha, T

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        h_s, h_t = perceived(precise(z_s)), perceived(teacher_logits(z_t))
        return kl_divergence(h_s, h_t, self.T).mean() * self.alpha**2


class LumiNet(Distiller):
    """LumiNet beside CE, its weight rising over the first 20 epochs.

    The loss leaves offset and scale of each class's logits to CE. Pairs of networks without published
    settings get alpha 70, T 8 and CE 1.

    Published code: it has no settings for resnet20 of resnet56, resnet32 of resnet110 and wrn_16_2 of
    wrn_40_2, whose results are published.
    """

    label = "LumiNet"
    formula = "A^2 KL(p(h_t), p(h_s)); h = logits standardised per class over the batch"
    weights = LossWeights(1.0, 0.0, 1.0)
    warm_up = 20
    free_scale = True

    def __init__(
        self,
        example: Example,
        *,
        luminet_alpha: Annotated[
            float | None, positive_float, "LumiNet: root of the factor (default: the pair's, 33 to 75)"
        ] = None,
        luminet_T: Annotated[
            float | None, positive_float, "LumiNet: temperature (default: the pair's, 4 or 8)"
        ] = None,
    ):
        super().__init__(example)
        setting = PUBLISHED.get((example.teacher_model, example.student_model), ELSEWHERE)
        self.loss = LumiNetLoss(luminet_alpha or setting.alpha, luminet_T or setting.T)

    @classmethod
    def weights_for(cls, student: str, teacher: str, **flags: Any) -> LossWeights:
        """CE as published for the pair, and the loss itself."""
        return cls.weights._replace(gamma=PUBLISHED.get((teacher, student), ELSEWHERE).cross_entropy)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)
