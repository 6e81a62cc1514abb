"""Feature knowledge of all layers: attention decides which teacher layer a student layer learns from."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import pooled
from helper.arguments import positive_int
from helper.batch import Batch, Output
from helper.device import autocast_like, full_precision
from helper.errors import UserError

EPSILON = 1e-12
SMALLEST_BATCH = 4


class SemCKDLoss(nn.Module):
    """Attention-weighted mean squared errors, divided by the batch and the number of student layers.

    Chen et al.: "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, equations 6 to 8.
    https://arxiv.org/abs/2012.03236

        >>> import torch
        >>> f_s, f_t = torch.zeros(4, 8, 2, 2), torch.ones(4, 8, 2, 2)
        >>> attention = torch.tensor([0.25, 0.75]).expand(4, 1, 2)
        >>> SemCKDLoss()([[f_s, f_s]], [[f_t, 2 * f_t]], attention).item()  # 0.25 * 1 + 0.75 * 4
        3.25
    """

    def forward(self, values: list[list[Tensor]], targets: list[list[Tensor]], attention: Tensor) -> Tensor:
        """Scalar loss of values against targets, per student and teacher layer (B, C, H, W).

        attention: (B, S, T), what each of T teacher layers counts for each of S student layers.
        """
        with full_precision(attention.device.type):
            errors = torch.stack(
                [
                    torch.stack(
                        [
                            (v.float() - t.float()).square().mean(dim=(1, 2, 3))
                            for v, t in zip(own, theirs, strict=True)
                        ]
                    )
                    for own, theirs in zip(values, targets, strict=True)
                ]
            )
            weighted = attention.permute(1, 2, 0) * errors
            return weighted.sum() / (attention.shape[0] * attention.shape[1])


class Projection(nn.Module):
    """Two-layer perceptron from a row of the batch's similarities (B) to a unit vector (B/4)."""

    def __init__(self, batch_size: int):
        super().__init__()
        size = batch_size // SMALLEST_BATCH
        self.linear1 = nn.Linear(batch_size, 2 * size)
        self.linear2 = nn.Linear(2 * size, size)

    def forward(self, similarities: Tensor) -> Tensor:
        """Unit vectors (B, B/4) of similarities (B, B)."""
        return F.normalize(self.linear2(F.relu(self.linear1(similarities))), dim=1, eps=EPSILON)


class Translator(nn.Sequential):
    """From a student's map to a teacher's channels: 1x1 to 2C, BN, ReLU, 3x3, BN, ReLU, 1x1 to C.

    width: at most so many channels inside, instead of 2C.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int | None = None):
        wide = min(2 * channels_out, width or 2 * channels_out)
        super().__init__(
            nn.Conv2d(channels_in, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, channels_out, 1, bias=False),
        )


class SemCKD(Distiller):
    """SemCKD between all stage maps of student and teacher.

    The perceptrons of the attention take rows of the B x B similarities of a batch, so the method is sized by
    the batch: another batch size means another network to train, and a short last batch is dropped.
    Similarities, attention and unit vectors are in float32.

    Published code: the unit vectors have no epsilon; here lengths are at least 1e-12. The similarities, there
    and here, are inner products of raw maps, so that the gradient grows with the square of the features:
    resnet20 teaching resnet8 diverged there with the weights 1, 1 and 400; --clip_grad is for such pairs.
    """

    label = "SemCKD"
    formula = (
        "sum over stages i, j of a_ij |r_ij(F_s,i) - F_t,j|^2 / (B S); a softmax over j of similarities of "
        "the batch's similarities"
    )
    weights = LossWeights(1.0, 1.0, 400.0)
    multiplier = 100.0
    fixed_batch = True
    size_flag = "--semckd_width"

    def __init__(
        self,
        example: Example,
        *,
        semckd_width: Annotated[
            int | None,
            positive_int,
            "SemCKD: at most so many inner channels per translator (default: twice the teacher's)",
            {"metavar": "N"},
        ] = None,
    ):
        super().__init__(example)
        if example.batch_size < SMALLEST_BATCH:
            raise UserError(
                f"--batch_size {example.batch_size} is too small for semckd, whose attention is sized by "
                f"the batch: use at least {SMALLEST_BATCH}"
            )
        self.batch_size = example.batch_size
        student, teacher = example.student.maps, example.teacher.maps
        self.queries = nn.ModuleList(Projection(self.batch_size) for _ in student)
        self.keys = nn.ModuleList(Projection(self.batch_size) for _ in teacher)
        self.translators = nn.ModuleList(
            nn.ModuleList(Translator(s.shape[1], t.shape[1], semckd_width) for t in teacher) for s in student
        )
        self.loss = SemCKDLoss()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        maps_s, maps_t = student.maps, teacher.maps
        if maps_s[0].shape[0] != self.batch_size:
            raise UserError(
                f"semckd was built for batches of {self.batch_size} and got {maps_s[0].shape[0]}: its "
                "attention is sized by the batch, so a network trained with one batch size cannot go on with "
                "another"
            )
        attention = self.attention(maps_s, maps_t)
        with autocast_like(maps_s[0]):
            values, targets = self.translate(maps_s, maps_t)
        return self.loss(values, targets, attention)

    def attention(self, maps_s: list[Tensor], maps_t: list[Tensor]) -> Tensor:
        """Weights (B, S, T) of the teacher's layers for each student layer, summing to 1 over those."""
        with full_precision(maps_s[0].device.type):
            queries = torch.stack(
                [project(similarities(m)) for project, m in zip(self.queries, maps_s, strict=True)], dim=1
            )
            keys = torch.stack(
                [project(similarities(m)) for project, m in zip(self.keys, maps_t, strict=True)], dim=1
            )
            return torch.softmax(queries @ keys.transpose(1, 2), dim=2)

    def translate(
        self, maps_s: list[Tensor], maps_t: list[Tensor]
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Per pair of layers the translated student's map and the teacher's, both of the smaller size."""
        values, targets = [], []
        for row, m_s in zip(self.translators, maps_s, strict=True):
            own, theirs = [], []
            for translator, m_t in zip(row, maps_t, strict=True):
                size = min(m_s.shape[2], m_t.shape[2]), min(m_s.shape[3], m_t.shape[3])
                own.append(translator(pooled(m_s, size)))
                theirs.append(pooled(m_t, size))
            values.append(own)
            targets.append(theirs)
        return values, targets


def similarities(feature: Tensor) -> Tensor:
    """Inner products (B, B) of the flattened maps (B, C, H, W) of a batch.

    They do not depend on the order of the elements: a channels-last map is flattened as it lies.
    """
    flat = feature.permute(0, 2, 3, 1).flatten(1).float()
    return flat @ flat.T
