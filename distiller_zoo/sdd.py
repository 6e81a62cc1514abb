"""Response knowledge of regions: both classifiers look at parts of the last map, not at its average alone."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_divergence
from distiller_zoo.dkd import ALPHA, BETA, BETA_ELSEWHERE, decoupled
from distiller_zoo.kd import TEMPERATURE
from distiller_zoo.last_map import last_map_of
from distiller_zoo.maps import pooled, precise
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output

FINEST = 4
SCALES = {"1,2": (1, 2), "1,2,4": (1, 2, 4)}
# By (teacher, student): pairs for which 1,2 was published; the others have 1,2,4.
TWO_SCALES = {("resnet32x4", "resnet8x4"), ("vgg13", "vgg8")}


def region_logits(feature: Tensor, classifier: nn.Linear, scales: Sequence[int]) -> Tensor:
    """Logits (B, N, classes) of the regions of a map (B, C, H, W): for each scale s the s x s regions row by
    row, of the map averaged (or, if smaller, replicated) to 4 x 4 places first.
    """
    finest = pooled(precise(feature), (FINEST, FINEST))
    regions = [pooled(finest, (scale, scale)).flatten(2).transpose(1, 2) for scale in scales]
    return F.linear(torch.cat(regions, dim=1), classifier.weight, classifier.bias)


def region_weights(z_t: Tensor, labels: Tensor) -> Tensor:
    """Weights (B, N) of regions: 2 where the teacher is right of either the region or the first one (the
    whole image) but not of both, else 1.

    z_t: the teacher's region logits (B, N, classes); labels: (B,).
    """
    right = z_t.argmax(dim=2) == labels[:, None]
    return 1.0 + (right != right[:, :1]).to(z_t.dtype)


class SDKDLoss(nn.Module):
    """The weighted mean over images and regions of T^2 * KL between region logits.

    Wei, Luo, Luo: "Scale Decoupled Distillation", CVPR 2024. https://arxiv.org/abs/2403.13512

    Published code: it sets NaN to 0 and replaces a loss that is not finite by 0, so that the step learns from
    CE alone; this one has no NaN to hide.

    T: temperature, above 0; scales: regions per side, the first 1.

        >>> import torch
        >>> f, classifier = torch.eye(4).reshape(1, 1, 4, 4), nn.Linear(1, 3)
        >>> SDKDLoss()(f, f, classifier, classifier, torch.tensor([0])).item()
        0.0
    """

    def __init__(self, T: float = 4.0, scales: Sequence[int] = (1, 2, 4)):
        super().__init__()
        self.T, self.scales = T, tuple(scales)

    def forward(
        self, f_s: Tensor, f_t: Tensor, classifier_s: nn.Linear, classifier_t: nn.Linear, labels: Tensor
    ) -> Tensor:
        """Scalar loss of the student's last map (B, C_s, H, W) against the teacher's (B, C_t, H', W').

        The gradient passes to the student's map and classifier; labels: (B,).
        """
        z_s = region_logits(f_s, classifier_s, self.scales)
        with torch.no_grad():
            z_t = region_logits(f_t, classifier_t, self.scales)
            weights = region_weights(z_t, labels).flatten()
        each = labels.repeat_interleave(z_s.shape[1], output_size=len(weights))
        return (weights * self.of_regions(z_s.flatten(0, 1), z_t.flatten(0, 1), each)).mean()

    def of_regions(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
        """The loss of each region (B * N,) from logits (B * N, classes) and labels (B * N,)."""
        return kl_divergence(z_s, z_t, self.T) * self.T**2


class SDDKDLoss(SDKDLoss):
    """The same of DKD: the weighted mean over images and regions of alpha * TCKD + beta * NCKD.

    alpha, beta: weights of DKD's parts; T, scales: as in SDKDLoss.
    """

    def __init__(
        self, alpha: float = ALPHA, beta: float = 8.0, T: float = 4.0, scales: Sequence[int] = (1, 2, 4)
    ):
        super().__init__(T, scales)
        self.alpha, self.beta = alpha, beta

    def of_regions(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
        of_target, of_others = decoupled(z_s, z_t, labels, self.T)
        return self.alpha * of_target + self.beta * of_others


class SDD(Distiller):
    """SD-KD: KD of regions beside a little CE, without a warm-up.

    Published code: the warm-up of SD-KD is commented out. The gradient of all parameters is clipped to norm
    40, for which there is --clip_grad 40. The settings for resnet32 of resnet110 and resnet20 of resnet56
    name networks without region logits and fail; here they run.
    """

    label = "SD-KD"
    formula = (
        "mean over 1 + 4 + 16 regions of w T^2 KL(p_t, p_s) of the regions' logits; w = 2 where region and "
        "image disagree, for the teacher"
    )
    weights = LossWeights(0.1, 0.0, 0.9)
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        sdd_scales: Annotated[
            str | None, ("1,2", "1,2,4"), "SDD: regions per side (default: the pair's, 1,2,4 if unknown)"
        ] = None,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
    ):
        super().__init__(example)
        self.last_map_s = last_map_of(example.student, "sdd", example.student_model)
        self.last_map_t = last_map_of(example.teacher, "sdd", example.teacher_model)
        # in a tuple, so that they do not become layers of the method as well
        self.classifiers = (example.student_network.classifier, example.teacher_network.classifier)
        pair = (example.teacher_model, example.student_model)
        scales = sdd_scales or ("1,2" if pair in TWO_SCALES else "1,2,4")
        self.loss = SDKDLoss(kd_T or TEMPERATURE, SCALES[scales])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        maps = self.last_map_s(student), self.last_map_t(teacher)
        return self.loss(*maps, *self.classifiers, batch.labels)


class SDDKD(SDD):
    """SD-DKD: DKD of regions beside plain CE, its weight rising over the first 20 epochs.

    Published code: the gradient of all parameters is clipped to norm 40, for which there is --clip_grad 40.
    """

    label = "SD-DKD"
    formula = "SD-KD with DKD in place of the KL of each region"
    weights = LossWeights(1.0, 0.0, 1.0)
    warm_up = 20

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
        sdd_scales: Annotated[
            str | None, ("1,2", "1,2,4"), "SDD: regions per side (default: the pair's, 1,2,4 if unknown)"
        ] = None,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
    ):
        super().__init__(example, sdd_scales=sdd_scales, kd_T=kd_T)
        beta = BETA.get((example.teacher_model, example.student_model), BETA_ELSEWHERE)
        self.loss = SDDKDLoss(
            ALPHA if dkd_alpha is None else dkd_alpha,
            beta if dkd_beta is None else dkd_beta,
            self.loss.T,
            self.loss.scales,
        )
