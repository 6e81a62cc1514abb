"""Feature knowledge of all stages: where in its map a network is active."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import same_size, unit
from helper.arguments import positive_int
from helper.batch import Batch, Output


class ATLoss(nn.Module):
    """Mean squared difference of attention maps, summed over pairs of maps.

    An attention map is the mean over channels of the p-th power of the absolute values, as a unit vector over
    positions. Zagoruyko, Komodakis: "Paying More Attention to Attention: Improving the Performance of
    Convolutional Neural Networks via Attention Transfer", ICLR 2017, equation 2.
    https://arxiv.org/abs/1612.03928

    Published code: the mean over positions stands for the paper's norm. Values are raised to the power as
    they are, here their absolute values, which differ for an odd p.

    p: the power.

    >>> f_s, f_t = [torch.rand(2, 4, 8, 8)], [torch.rand(2, 16, 4, 4)]
    >>> ATLoss()(f_s, f_t) > 0
    tensor(True)
    >>> ATLoss()(f_s, f_s)
    tensor(0.)
    """

    def __init__(self, p: int = 2):
        super().__init__()
        self.p = p

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, C, H, W)] against the teacher's [(B, C', H', W')].

        The larger of a pair is averaged down first; maps without a partner are left out.
        """
        return torch.stack(self.pairs(f_s, f_t)).sum()

    def pairs(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The loss of each pair of maps."""
        found = []
        for s, t in zip(f_s, f_t, strict=False):
            s, t = same_size(s, t.detach())
            found.append((self.attention(s) - self.attention(t)).square().mean())
        return found

    def attention(self, f: Tensor) -> Tensor:
        """The attention maps (B, H * W) of maps (B, C, H, W), of unit length."""
        powers = f.square() if self.p == 2 else f.abs().pow(self.p)
        return unit(powers.mean(dim=1).flatten(1))


class AT(Distiller):
    """Attention transfer between the stage maps of student and teacher."""

    label = "AT"
    formula = "sum over stages |nu(mean_c F_s^2) - nu(mean_c F_t^2)|^2, a mean over places"
    weights = LossWeights(1.0, 0.0, 1000.0)

    def __init__(
        self, example: Example, *, at_p: Annotated[int, positive_int, "AT: power of the activations"] = 2
    ):
        super().__init__(example)
        self.loss = ATLoss(at_p)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps, teacher.maps)
