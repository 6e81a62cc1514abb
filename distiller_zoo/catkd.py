"""Feature knowledge of where the network looks for each class."""

from typing import Annotated, Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import unit
from distiller_zoo.last_map import last_map_of
from distiller_zoo.maps import pooled, precise
from helper.arguments import positive_int
from helper.batch import Batch, Output


class Setting(NamedTuple):
    """What was published for a pair of networks."""

    beta: float
    resolution: int
    normalize: bool


# By (teacher, student): the settings in the published repository.
PUBLISHED = {
    ("resnet32x4", "resnet8x4"): Setting(15.0, 2, False),
    ("vgg13", "vgg8"): Setting(4.5, 2, False),
    ("wrn_40_2", "wrn_40_1"): Setting(1.5, 2, False),
    ("wrn_40_2", "wrn_16_2"): Setting(12.0, 2, False),
    ("resnet56", "resnet20"): Setting(0.7, 2, False),
    ("resnet110", "resnet32"): Setting(1.8, 2, False),
    ("resnet32x4", "ShuffleV1"): Setting(600.0, 4, True),
    ("resnet32x4", "ShuffleV2"): Setting(600.0, 4, True),
    ("wrn_40_2", "ShuffleV1"): Setting(80.0, 4, True),
    ("vgg13", "MobileNetV2"): Setting(15.0, 2, True),
    ("ResNet50", "MobileNetV2"): Setting(40.0, 2, True),
}
ELSEWHERE = Setting(15.0, 2, True)


def class_activation_maps(feature: Tensor, classifier: nn.Linear) -> Tensor:
    """The classifier without its bias at each place of a map (B, C, H, W): (B, classes, H, W)."""
    return F.conv2d(precise(feature), classifier.weight[:, :, None, None])


class CATKDLoss(nn.Module):
    """Mean squared error between class activation maps that are averaged down to resolution x resolution.

    Guo, Yan, Li, Lin: "Class Attention Transfer Based Knowledge Distillation", CVPR 2023.
    https://arxiv.org/abs/2304.12777

    resolution: places per side (a smaller map is replicated); normalize: whether each class's map of each
    image is divided by its L2 norm, so that the scale of the logits does not count; a map of zeros stays so.

        >>> import torch
        >>> cam = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> CATKDLoss(resolution=2)(cam, cam + 1).item()
        1.0
    """

    def __init__(self, resolution: int = 2, normalize: bool = False):
        super().__init__()
        self.resolution, self.normalize = resolution, normalize

    def forward(self, cam_s: Tensor, cam_t: Tensor) -> Tensor:
        """Scalar loss of the student's maps (B, classes, H, W) against the teacher's (B, classes, H', W')."""
        return F.mse_loss(self._compared(cam_s), self._compared(cam_t.detach()))

    def _compared(self, cam: Tensor) -> Tensor:
        flat = pooled(precise(cam), (self.resolution, self.resolution)).flatten(2)
        return unit(flat, dim=2) if self.normalize else flat


class CATKD(Distiller):
    """CAT-KD between the maps that the two classifiers see, beside plain CE.

    Pairs of networks without published settings get normalised maps of 2 x 2 and weight 15.

    Published code: both networks lose their classifier's bias, which changes the teacher's predictions
    slightly, and classify before the average. Here they stay as they are, and the bias is left out of the
    maps alone.
    """

    label = "CAT-KD"
    formula = "|nu(pool_r(A_s)) - nu(pool_r(A_t))|^2, a mean over all elements; A the class activation maps"
    weights = LossWeights(1.0, 0.0, 15.0)

    def __init__(
        self,
        example: Example,
        *,
        catkd_resolution: Annotated[
            int | None, positive_int, "CAT-KD: places per side of the maps (default: the pair's, 2 or 4)"
        ] = None,
        catkd_normalize: Annotated[
            str | None, ("yes", "no"), "CAT-KD: divide each map by its norm (default: the pair's)"
        ] = None,
    ):
        super().__init__(example)
        self.last_map_s = last_map_of(example.student, "catkd", example.student_model)
        self.last_map_t = last_map_of(example.teacher, "catkd", example.teacher_model)
        # in a tuple, so that they do not become layers of the method as well
        self.classifiers = (example.student_network.classifier, example.teacher_network.classifier)
        setting = PUBLISHED.get((example.teacher_model, example.student_model), ELSEWHERE)
        self.loss = CATKDLoss(
            catkd_resolution or setting.resolution,
            setting.normalize if catkd_normalize is None else catkd_normalize == "yes",
        )

    @classmethod
    def weights_for(cls, student: str, teacher: str, **flags: Any) -> LossWeights:
        """Plain CE, and what was published for the pair."""
        return cls.weights._replace(beta=PUBLISHED.get((teacher, student), ELSEWHERE).beta)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        classifier_s, classifier_t = self.classifiers
        return self.loss(
            class_activation_maps(self.last_map_s(student), classifier_s),
            class_activation_maps(self.last_map_t(teacher), classifier_t),
        )
