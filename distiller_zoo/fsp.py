"""Feature knowledge of neighbouring layers: how the maps of one stage flow into those of the next."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import map_parameters, same_size
from helper.batch import Batch, Output
from helper.errors import UserError


class FSPLoss(nn.Module):
    """Mean squared difference of the flow matrices of neighbouring maps, summed over the pairs of neighbours.

    The flow between two maps holds the inner products over positions of every channel of one with every
    channel of the other, divided by the number of positions. Yim, Joo, Bae, Kim: "A Gift from Knowledge
    Distillation: Fast Optimization, Network Minimization and Transfer Learning", CVPR 2017, equations 1 and
    2. https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html

    >>> maps = [torch.ones(2, 4, 8, 8), torch.ones(2, 6, 4, 4)]
    >>> other = [torch.zeros(2, 4, 16, 16), torch.zeros(2, 6, 8, 8)]
    >>> FSPLoss()(maps, other)
    tensor(1.)
    """

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, C_l, H, W)] against the teacher's [(B, C_l, H', W')].

        Raises ValueError unless both have the same number of maps, at least two, of the same channels.
        """
        return torch.stack(self.pairs(f_s, f_t)).sum()

    def pairs(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The loss of each pair of neighbouring maps."""
        channels_s, channels_t = [f.shape[1] for f in f_s], [f.shape[1] for f in f_t]
        if channels_s != channels_t or len(f_s) < 2:
            raise ValueError(
                f"maps of {channels_s} and {channels_t} channels: FSP needs the same, at least two"
            )
        with torch.no_grad():
            flows_t = flows(f_t)
        return [(flow_s - flow_t).square().mean() for flow_s, flow_t in zip(flows(f_s), flows_t, strict=True)]


def flows(maps: Sequence[Tensor]) -> list[Tensor]:
    """The flow (B, C_l+1, C_l) from each map to the next; the larger of the two is averaged down first."""
    found = []
    for lower, upper in pairwise(maps):
        lower, upper = same_size(lower, upper)
        lower, upper = lower.flatten(2), upper.flatten(2)
        found.append(upper @ lower.transpose(1, 2) / lower.shape[2])
    return found


class FSP(Distiller):
    """FSP as a stage of its own, after which the student learns from the labels alone.

    The first stage trains stem and stages on the loss of all neighbouring maps, the stem's included. Student
    and teacher need the same number of maps and the same channels in each.

    Published code: the second stage has a weight of 50 and multiplies it with a loss of 0, and so has this
    one.
    """

    label = "FSP"
    formula = "first stage: sum over neighbouring maps |G_s - G_t|^2 / (C C'); G = F_l+1 F_l' / (H W)"
    weights = LossWeights(1.0, 0.0, 50.0)
    pretraining = 30

    def __init__(self, example: Example):
        super().__init__(example)
        student, teacher = (
            [m.shape[1] for m in (output.stem, *output.maps)] for output in (example.student, example.teacher)
        )
        if student != teacher:
            raise UserError(
                f"fsp needs the same channels in every map of both networks, but {example.student_model} has "
                f"{student} and {example.teacher_model} {teacher}: choose networks of one family and width"
            )
        self.loss = FSPLoss()

    def pretrained_parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The student's stem and stages."""
        return map_parameters(network)

    def pretrain(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """The loss of the first stage."""
        return self.loss([student.stem, *student.maps], [teacher.stem, *teacher.maps])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Zero: the second stage has no loss of its own."""
        return student.logits.new_zeros(())
