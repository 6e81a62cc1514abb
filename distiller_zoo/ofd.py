"""Feature knowledge before the ReLU: what the teacher's ReLU would cut off need not be imitated."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import pooled, precise
from helper.batch import Batch, Output
from helper.errors import UserError

FEWEST_NEGATIVE = 0.001  # share of negative values below which their mean isn't estimated, as published
FAR_MARGIN = 3.0  # in standard deviations, where it isn't
SMALLEST_SCALE = 1e-12


class OFDLoss(nn.Module):
    """Partial squared distance of the student's maps, through 1x1 convolutions and BN, from the teacher's.

    All maps are those before the ReLU. Where the teacher's value is positive the student should equal it;
    where it is negative the student should only stay below the larger of it and the channel's margin. A level
    counts with the sum over channels and positions of its batch mean, the last level fully, each one before
    half as much. Heo et al.: "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, sections 3.2 and
    3.3. https://arxiv.org/abs/1904.01866

    student_channels: of its maps; margins: of the teacher's maps, (C,) each, see `margin_of`. Raises
    ValueError unless there are as many of one as of the other.

    >>> loss = OFDLoss([4], [torch.full((6,), -0.5)])
    >>> loss([torch.randn(2, 4, 8, 8)], [torch.randn(2, 6, 8, 8)]).shape
    torch.Size([])
    """

    def __init__(self, student_channels: Sequence[int], margins: Sequence[Tensor]):
        super().__init__()
        if len(student_channels) != len(margins):
            raise ValueError(
                f"{len(student_channels)} maps of the student and margins of {len(margins)} maps"
            )
        self.connectors = nn.ModuleList(
            _connector(channels, len(margin))
            for channels, margin in zip(student_channels, margins, strict=True)
        )
        for level, margin in enumerate(margins):
            self.register_buffer(f"margin{level}", margin.detach().float().reshape(1, -1, 1, 1))

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, C_s, H, W)] against the teacher's [(B, C_t, H', W')]."""
        last = len(self.connectors) - 1
        levels = self.levels(f_s, f_t)
        return torch.stack([level / 2 ** (last - number) for number, level in enumerate(levels)]).sum()

    def levels(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The distance of each level, unweighted."""
        found = []
        for number, (connector, s, t) in enumerate(zip(self.connectors, f_s, f_t, strict=True)):
            value = connector(precise(s))
            target = pooled(precise(t.detach()), value.shape[2:])
            found.append(partial_distance(value, target, self.get_buffer(f"margin{number}")) / len(value))
        return found


def partial_distance(value: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    """Sum of squared differences of maps (B, C, H, W), but none where target and value are both cut off.

    margin: (1, C, 1, 1), negative; a target below it stands for the margin.
    """
    difference = value - torch.maximum(target, margin)
    return torch.where(target > 0, difference, difference.relu()).square().sum()


def margin_of(norm: nn.BatchNorm2d) -> Tensor:
    """The mean (C,) of the negative values of each channel of a BN's output, taken to be normally
    distributed.

    -3 standard deviations where hardly any value is negative. Heo et al., 2019, section 3.2.
    """
    scale = norm.weight.detach().double().abs().clamp(min=SMALLEST_SCALE)
    mean = norm.bias.detach().double()
    negative = torch.special.ndtr(-mean / scale)
    density = torch.exp(-(mean / scale).square() / 2) / math.sqrt(2 * math.pi)
    estimated = mean - scale * density / negative.clamp(min=FEWEST_NEGATIVE)
    return torch.where(negative > FEWEST_NEGATIVE, estimated, -FAR_MARGIN * scale).float()


def _connector(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / out_channels))
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


class OFD(Distiller):
    """OFD on all stage maps before their last ReLU.

    The margins come from the batch norms whose outputs the teacher's maps are, without what a shortcut adds.
    Networks of different depth are aligned from the last map on, margins too.

    Published code: it aligns only the maps, and keeps the teacher in train mode, so that its batch norms see
    the batch and move; here it stays in eval mode, as for every method. Students MobileNetV2, ShuffleV1 and
    ShuffleV2 do not run in mdistiller; here they do.
    """

    label = "OFD"
    formula = (
        "sum over stages 2^(l - L) |c(F_s) - max(F_t, margin)|^2 where it is not already below both; F "
        "before the ReLU"
    )
    weights = LossWeights(1.0, 0.0, 0.001)

    def __init__(self, example: Example):
        super().__init__(example)
        maps_s, maps_t = example.student.preact, example.teacher.preact
        norms = _norms_of(example)
        if not maps_s:
            raise UserError(
                f"ofd reads the student's maps before their ReLU, which {example.student_model} does not "
                "give: choose a student of models/, or another method"
            )
        self.levels = min(len(maps_s), len(maps_t))
        for norm, teacher in zip(norms, maps_t, strict=True):
            if norm.num_features != teacher.shape[1]:
                raise UserError(
                    f"ofd cannot use the teacher {example.teacher_model}: a stage map has {teacher.shape[1]} "
                    f"channels and its batch norm {norm.num_features}; choose another teacher or method"
                )
        self.loss = OFDLoss(
            [m.shape[1] for m in maps_s[-self.levels :]], [margin_of(norm) for norm in norms[-self.levels :]]
        )

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.preact[-self.levels :], teacher.preact[-self.levels :])


def _norms_of(example: Example) -> list[nn.BatchNorm2d]:
    """The teacher's batch norms, one per map; UserError for a teacher that has none to give."""
    give = getattr(example.teacher_network, "norms_before_relu", None)
    norms = [] if give is None else list(give())
    if not norms or len(norms) != len(example.teacher.preact):
        raise UserError(
            "ofd needs the batch norm in front of every stage's last ReLU, but the teacher "
            f"{example.teacher_model} gives {len(norms)} for {len(example.teacher.preact)} maps: choose a "
            "teacher of models/ with batch norms"
        )
    return norms
