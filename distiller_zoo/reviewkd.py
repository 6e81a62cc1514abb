"""Feature knowledge reviewed: each student stage, fused with all deeper ones, learns the teacher's map."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import pooled, precise
from helper.batch import Batch, Output
from helper.device import autocast_like
from helper.errors import UserError

WIDEST_FUSION = 512
POOLED_SIZES = (4, 2, 1)
# mdistiller's and the authors' scripts, by (student, teacher); other pairs take what most of these do
WEIGHTS = {
    ("resnet8x4", "resnet32x4"): 5.0,
    ("ShuffleV1", "resnet32x4"): 5.0,
    ("ShuffleV2", "resnet32x4"): 8.0,
    ("wrn_16_2", "wrn_40_2"): 5.0,
    ("wrn_40_1", "wrn_40_2"): 5.0,
    ("ShuffleV1", "wrn_40_2"): 5.0,
    ("resnet20", "resnet56"): 0.6,
    ("resnet32", "resnet110"): 1.0,
}


class HCLLoss(nn.Module):
    """Mean squared error of two maps and of their averages over 4 x 4, 2 x 2 and 1 x 1 cells.

    The maps themselves count 1, each coarser grid half of the one before, over the sum of these weights;
    grids not coarser than the map are left out. Chen, Liu, Zhao, Jia: "Distilling Knowledge via Knowledge
    Review", CVPR 2021, section 3.3. https://arxiv.org/abs/2104.09044

    >>> HCLLoss()(torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))
    tensor(1.)
    """

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of the student's map (B, C, H, W) against the teacher's, of the same shape."""
        f_s, f_t = precise(f_s), precise(f_t.detach())
        loss, weight, weights = F.mse_loss(f_s, f_t), 1.0, 1.0
        for size in POOLED_SIZES:
            if size < min(f_s.shape[2:]):
                weight /= 2.0
                weights += weight
                loss = loss + weight * F.mse_loss(pooled(f_s, (size, size)), pooled(f_t, (size, size)))
        return loss / weights


class Fusion(nn.Module):
    """One step of the review: a student's map joined by what the deeper stages gave, in the teacher's shape.

    in_channels, out_channels: of the student's map and of the teacher's; width: of what is passed on; first:
    whether it is the deepest step, which has nothing to join.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, first: bool):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.conv2 = nn.Sequential(
            nn.Conv2d(width, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.att_conv = None if first else nn.Sequential(nn.Conv2d(2 * width, 2, 1))
        for convolution in (self.conv1[0], self.conv2[0]):
            nn.init.kaiming_uniform_(convolution.weight, a=1)

    def forward(self, f_s: Tensor, deeper: Tensor | None, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The map for the teacher, (B, out_channels, *size), and what is passed on, (B, width, *size).

        f_s: (B, in_channels, H, W); deeper: what the step before passed on, of any size.
        """
        fused = self.conv1(f_s)
        if self.att_conv is not None:
            deeper = resized(deeper, f_s.shape[2:])
            share = torch.sigmoid(self.att_conv(torch.cat([fused, deeper], dim=1)))
            fused = fused * share[:, :1] + deeper * share[:, 1:]
        fused = resized(fused, size)
        return self.conv2(fused), fused


class ReviewKDLoss(nn.Module):
    """The sum of the hierarchical context losses of all levels of the review.

    Chen, Liu, Zhao, Jia: "Distilling Knowledge via Knowledge Review", CVPR 2021, section 3 and figure 3.
    https://arxiv.org/abs/2104.09044

    student_channels, teacher_channels: of the levels, the deepest first; width: of the fused maps, by default
    the student's deepest, at most 512. Raises ValueError for lists of unequal length.

    >>> loss = ReviewKDLoss([8, 4], [16, 8])
    >>> maps_s = [torch.randn(2, 8, 1, 1), torch.randn(2, 4, 8, 8)]
    >>> loss(maps_s, [torch.randn(2, 16, 1, 1), torch.randn(2, 8, 8, 8)]).shape
    torch.Size([])
    """

    def __init__(
        self, student_channels: Sequence[int], teacher_channels: Sequence[int], width: int | None = None
    ):
        super().__init__()
        width = width or min(WIDEST_FUSION, student_channels[0])
        self.blocks = nn.ModuleList(
            Fusion(c_s, c_t, width, first=level == 0)
            for level, (c_s, c_t) in enumerate(zip(student_channels, teacher_channels, strict=True))
        )
        self.loss = HCLLoss()

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Scalar loss of the student's maps [(B, C_s, H, W)] against the teacher's, deepest first.

        The teacher's are those before the ReLU; B at least 2 where a map is 1 x 1.
        """
        return torch.stack(
            [self.loss(own, t) for own, t in zip(self.review(f_s, f_t), f_t, strict=True)]
        ).sum()

    def review(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The student's fused maps in the teacher's shapes, deepest first."""
        fused, passed = [], None
        for block, own, target in zip(self.blocks, f_s, f_t, strict=True):
            with autocast_like(own):
                out, passed = block(own, passed, target.shape[2:])
            fused.append(out)
        return fused


def resized(feature: Tensor, size: Sequence[int]) -> Tensor:
    """The map (B, C, H, W) with its nearest values at `size` (height, width)."""
    return (
        feature if feature.shape[2:] == tuple(size) else F.interpolate(feature, tuple(size), mode="nearest")
    )


class ReviewKD(Distiller):
    """ReviewKD on the embeddings and all stage maps: the student's after the ReLU, the teacher's before it.

    Networks of different depth are paired from the deepest level on; a shallower stage without partner is
    left out.

    Published code: mdistiller's is followed here. The authors' CIFAR code never puts the teacher into eval
    mode, and has batches of 128, a learning rate of 0.1 (0.02 for ShuffleNets and MobileNetV2), Nesterov's
    momentum, another normalisation of images and a warm-up counted from 0, so that the loss does not count in
    the first epoch.
    """

    label = "ReviewKD"
    formula = (
        "sum over levels HCL(review_l(F_s), F_t,l), deepest first; HCL the squared errors of the maps and of "
        "their 4 x 4, 2 x 2, 1 x 1 averages"
    )
    weights = LossWeights(1.0, 0.0, 5.0)
    warm_up = 20

    @classmethod
    def weights_for(cls, student: str, teacher: str, **flags: Any) -> LossWeights:
        """Those of the published scripts, by the pair of networks."""
        return cls.weights._replace(beta=WEIGHTS.get((student, teacher), cls.weights.beta))

    def __init__(self, example: Example):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for reviewkd, whose batch norms see one value per image: use at "
                "least 2"
            )
        if len(example.teacher.preact) != len(example.teacher.maps):
            raise UserError(
                f"reviewkd needs the teacher's maps before the ReLU, which {example.teacher_model} does not "
                "give: choose a teacher of models/, or another method"
            )
        student, teacher = _deepest_first(example.student, example.teacher)
        self.loss = ReviewKDLoss([m.shape[1] for m in student], [m.shape[1] for m in teacher])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(*_deepest_first(student, teacher))


def _deepest_first(student: Output, teacher: Output) -> tuple[list[Tensor], list[Tensor]]:
    """The levels of both networks: the embedding as a map of one place, then the stages' maps."""
    maps_s = [student.embedding[:, :, None, None], *reversed(student.maps)]
    maps_t = [teacher.embedding[:, :, None, None], *reversed(teacher.preact)]
    levels = min(len(maps_s), len(maps_t))
    return maps_s[:levels], maps_t[:levels]
