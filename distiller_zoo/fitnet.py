"""Feature knowledge of one layer: a regressor turns the student's map into the teacher's."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise
from helper.arguments import positive_int
from helper.batch import Batch, Output
from helper.device import autocast_like
from helper.errors import UserError


class HintLoss(nn.Module):
    """Mean squared error between two maps of the same shape.

    Romero et al.: "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3.
    https://arxiv.org/abs/1412.6550

        >>> import torch
        >>> f_s, f_t = torch.zeros(2, 8, 4, 4), torch.full((2, 8, 4, 4), 0.5)
        >>> HintLoss()(f_s, f_t).item()
        0.25
    """

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Loss of the student's map (B, C, H, W) against the teacher's (B, C, H, W)."""
        return F.mse_loss(precise(f_s), precise(f_t))


class Regressor(nn.Module):
    """Convolution to the teacher's channels and size, batch norm, ReLU.

    student, teacher: shapes (B, C, H, W). Equal size: 1 x 1; the student's map twice as large: 3 x 3 with
    stride 2; larger still: averaged down to the teacher's size, then 1 x 1; smaller by r: transposed, kernel
    2r (2r - 1 if r is odd), stride r; smaller by no whole number: 1 x 1, then enlarged bilinearly.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]):
        super().__init__()
        (_, c_s, *size_s), (_, c_t, *size_t) = student, teacher
        sides = list(zip(size_s, size_t, strict=True))
        self.pool: nn.Module = nn.Identity()
        self.enlarge: nn.Module = nn.Identity()
        if all(own == 2 * theirs for own, theirs in sides):
            self.conv: nn.Module = nn.Conv2d(c_s, c_t, 3, stride=2, padding=1)
        elif all(own >= theirs for own, theirs in sides):
            # the gradient of whole factors has the same bits every time on a GPU
            whole = all(own % theirs == 0 for own, theirs in sides)
            factors = tuple(own // theirs for own, theirs in sides)
            self.pool = nn.AvgPool2d(factors) if whole else nn.AdaptiveAvgPool2d(tuple(size_t))
            self.conv = nn.Conv2d(c_s, c_t, 1)
        elif all(theirs % own == 0 for own, theirs in sides):
            ratios = [theirs // own for own, theirs in sides]
            kernel, padding = [2 * r - r % 2 for r in ratios], [r // 2 for r in ratios]
            self.conv = nn.ConvTranspose2d(c_s, c_t, kernel, stride=ratios, padding=padding)
        else:
            self.conv = nn.Conv2d(c_s, c_t, 1)
            self.enlarge = nn.Upsample(tuple(size_t), mode="bilinear")
        self.bn = nn.BatchNorm2d(c_t)

    def forward(self, f_s: Tensor) -> Tensor:
        """The student's map in the teacher's shape."""
        return F.relu(self.bn(self.enlarge(self.conv(self.pool(f_s)))))


class FitNet(Distiller):
    """FitNets in one stage: the loss stands beside the others from the first epoch on.

    Published code: the benchmarks train in one stage, as here. The hinted layer is 2 in RepDistiller and
    mdistiller, 1 in SemCKD and ModReduce; a FitNets student of ModReduce crashes.
    """

    label = "FitNet"
    formula = "|r(F_s) - F_t|^2, a mean over all elements; r a trained regressor, F the maps of one stage"
    weights = LossWeights(1.0, 1.0, 100.0)
    multiplier = 100.0

    def __init__(
        self,
        example: Example,
        *,
        hint_layer: Annotated[
            int, positive_int, "which stage's map is compared, from 1 (default 2)", {"metavar": "N"}
        ] = 2,
    ):
        super().__init__(example)
        stages = min(len(example.student.maps), len(example.teacher.maps))
        if not 1 <= hint_layer <= stages:
            raise UserError(
                f"--hint_layer {hint_layer} does not exist in both networks: allowed are 1 to {stages}"
            )
        self.place = hint_layer - 1
        self.regressor = Regressor(
            tuple(example.student.maps[self.place].shape),
            tuple(example.teacher.maps[self.place].shape),
        )
        self.loss = HintLoss()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        f_s = student.maps[self.place]
        with autocast_like(f_s):
            regressed = self.regressor(f_s)
        return self.loss(regressed, teacher.maps[self.place])
