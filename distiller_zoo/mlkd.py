"""Response knowledge at several levels: each image's logits, and how images and classes correlate."""

from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_divergence, teacher_logits
from distiller_zoo.kd import TEMPERATURE
from distiller_zoo.maps import precise
from distiller_zoo.standardise import standardised
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output

# Beside the base temperature; the published code reads the strong view at the first two only.
ON_BOTH_VIEWS = (3.0, 5.0)
ON_THE_WEAK_VIEW = (2.0, 6.0)
WEIGHT = 0.9
MOST_CLASSES = 2048  # of which matrices of all pairs are made


class Standardised(NamedTuple):
    """What was published with standardised logits for a pair of networks."""

    T: float
    weight: float


# By (teacher, student): "Logit Standardization", 2024.
STANDARDISED = {
    ("vgg13", "vgg8"): Standardised(2.0, 6.0),
    ("resnet32x4", "ShuffleV2"): Standardised(2.0, 6.0),
    ("vgg13", "MobileNetV2"): Standardised(2.0, 6.0),
}
STANDARDISED_ELSEWHERE = Standardised(2.0, 9.0)


def class_correlation(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Squared differences of the class correlations P'P (C, C), P = softmax(z / T), summed, over C.

    For many classes in float64 from the images' products PP' (B, B), which have the same sums of squares.
    """
    p_s, p_t = (F.softmax(z / T, dim=1) for z in (z_s, z_t))
    if z_s.shape[1] > max(MOST_CLASSES, len(z_s)):
        p_s, p_t = p_s.double(), p_t.double()
        own, theirs, between = ((a @ b.T).square().sum() for a, b in ((p_s, p_s), (p_t, p_t), (p_s, p_t)))
        return ((own + theirs - 2.0 * between) / z_s.shape[1]).to(z_s.dtype)
    return (p_t.T @ p_t - p_s.T @ p_s).square().sum() / z_s.shape[1]


def batch_correlation(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Squared differences of the images' correlations PP' (B, B), P = softmax(z / T), summed, over B."""
    p_s, p_t = (F.softmax(z / T, dim=1) for z in (z_s, z_t))
    return (p_t @ p_t.T - p_s @ p_s.T).square().sum() / len(z_s)


def part_up_to_median(values: Tensor) -> Tensor:
    """The part of values (n,) that is at most their median, which for even n lies between the middle two."""
    ordered = values.sort().values
    low, high = ordered[(len(values) - 1) // 2], ordered[len(values) // 2]
    return (values <= low + (high - low) / 2).to(values.dtype).mean()


class MLKDLoss(nn.Module):
    """Three named terms of a weak and a strong view of the same images, each a sum over temperatures:
    'instances', 'classes' and 'batch'.

    Jin, Wang, Lin: "Multi-Level Logit Distillation", CVPR 2023.
    https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html

    Published code: it differs from the paper, and is followed here. Confidence masks are applied to losses
    that are scalars already, so that they only scale them by the part of images (for 'classes', of classes)
    up to the median, a half but for ties. Two of the strong view's five temperatures are on the weak one, and
    its correlations are computed and thrown away. 'classes' and 'batch' are some 1e-6 of 'instances'.

    T: base temperature, above 0, beside 2, 3, 5 and 6; standardise: whether the logits of 'instances'
    are standardised first (see `distiller_zoo.standardise`), not those of the correlations.

        >>> import torch
        >>> z = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
        >>> sorted(MLKDLoss()(z, z, z, z))
        ['batch', 'classes', 'instances']
    """

    def __init__(self, T: float = 4.0, standardise: bool = False):
        super().__init__()
        self.T, self.standardise = T, standardise

    def forward(self, z_s: Tensor, z_t: Tensor, z_s_strong: Tensor, z_t_strong: Tensor) -> dict[str, Tensor]:
        """Scalars of the student's logits (B, C) against the teacher's (B, C), for both views."""
        z_s, z_s_strong = precise(z_s), precise(z_s_strong)
        z_t, z_t_strong = teacher_logits(z_t), teacher_logits(z_t_strong)
        confidence = F.softmax(z_t, dim=1)
        images = part_up_to_median(confidence.amax(dim=1))
        classes = part_up_to_median(confidence.sum(dim=0))
        temperatures = (self.T, *ON_BOTH_VIEWS, *ON_THE_WEAK_VIEW)
        weak = self._divergences(z_s, z_t, temperatures)
        strong = self._divergences(z_s_strong, z_t_strong, (self.T, *ON_BOTH_VIEWS))
        return {
            "instances": images * weak.sum() + strong.sum() + weak[-len(ON_THE_WEAK_VIEW) :].sum(),
            "classes": classes * torch.stack([class_correlation(z_s, z_t, T) for T in temperatures]).sum(),
            "batch": images * torch.stack([batch_correlation(z_s, z_t, T) for T in temperatures]).sum(),
        }

    def _divergences(self, z_s: Tensor, z_t: Tensor, temperatures: tuple[float, ...]) -> Tensor:
        """T^2 * KL at each of the temperatures, batch means."""
        if self.standardise:
            z_s, z_t = standardised(z_s), standardised(z_t)
        return torch.stack([kl_divergence(z_s, z_t, T).mean() * T**2 for T in temperatures])


class MLKD(Distiller):
    """MLKD, which sees each image a second time, strongly augmented, and classifies that one too.

    Terms: 'ce_strong', weighted by --mlkd_ce as -r weights CE on the weak view, and MLKDLoss's three,
    weighted by --mlkd_weight; -b is a factor of all of them.

    Published code: its runs have 480 epochs for MobileNetV2, 960 for ShuffleNets of resnet32x4, and a
    learning rate of 0.025 (0.01 for both); here all are the recipe's unless asked for. The 240 epochs that
    its present settings have for networks of one style came later, and the published numbers need more. The
    10 of its RandAugment(2, 10) is never used.
    """

    label = "MLKD"
    formula = (
        "0.9 (m sum_T T^2 KL(p_t, p_s), both views, + c |P_t' P_t - P_s' P_s|^2 / C + m |P_t P_t' - P_s "
        "P_s'|^2 / B), six T; m, c = 1/2"
    )
    weights = LossWeights(0.1, 0.0, 1.0)
    views = ("strong",)
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        mlkd_weight: Annotated[
            float | None,
            non_negative_float,
            "MLKD: weight of its three terms (default 0.9; with --logit_stand 6 or 9, the pair's)",
        ] = None,
        mlkd_ce: Annotated[float, non_negative_float, "MLKD: weight of CE on the strong view"] = 0.1,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
        logit_stand: Annotated[
            bool, "standardise the logits within the distillation term (kd, dkd, mlkd)"
        ] = False,
    ):
        super().__init__(example)
        T, weight = TEMPERATURE, WEIGHT
        if logit_stand:
            pair = (example.teacher_model, example.student_model)
            T, weight = STANDARDISED.get(pair, STANDARDISED_ELSEWHERE)
        self.weight = weight if mlkd_weight is None else mlkd_weight
        self.ce_weight = mlkd_ce
        self.loss = MLKDLoss(kd_T or T, logit_stand)

    @classmethod
    def has_free_scale(cls, *, logit_stand: bool = False, **flags: Any) -> bool:
        return logit_stand

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        strong_s, strong_t = student.views["strong"].logits, teacher.views["strong"].logits
        terms = self.loss(student.logits, teacher.logits, strong_s, strong_t)
        strong = F.cross_entropy(precise(strong_s), batch.labels)
        return {"ce_strong": self.ce_weight * strong} | {
            name: self.weight * term for name, term in terms.items()
        }
