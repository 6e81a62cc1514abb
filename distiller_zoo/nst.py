"""Feature knowledge of all stages: which patterns the channels of a map are selective for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import same_size, unit
from helper.batch import Batch, Output


class NSTLoss(nn.Module):
    """Squared maximum mean discrepancy between the channels of two maps, summed over pairs of maps.

    A channel is a unit vector over positions; the kernel is the squared inner product. Huang, Wang: "Like
    What You Like: Knowledge Distill via Neuron Selectivity Transfer", arXiv 2017, section 4.
    https://arxiv.org/abs/1707.01219

    >>> f_s, f_t = [torch.rand(2, 4, 8, 8)], [torch.rand(2, 16, 4, 4)]
    >>> NSTLoss()(f_s, f_t) > 0, NSTLoss()(f_s, f_s)
    (tensor(True), tensor(0.))
    """

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, C, H, W)] against the teacher's [(B, C', H', W')].

        The larger of a pair is averaged down first; maps without a partner are left out.
        """
        return torch.stack(self.pairs(f_s, f_t)).sum()

    def pairs(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The loss of each pair of maps."""
        found = []
        for s, t in zip(f_s, f_t, strict=False):
            s, t = (unit(f.flatten(2)) for f in same_size(s, t.detach()))
            found.append(discrepancy(s, t))
        return found


def discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch of the discrepancy between vectors x (B, C, N) and y (B, C', N).

    The mean of all squared products of x and y is |x y'|^2 / (C C'), which is also the product of the N x N
    matrices x'x / C and y'y / C'. Whichever matrices are smaller are made.
    """
    (_, c_x, size), c_y = x.shape, y.shape[1]
    if 2 * size**2 <= c_x**2 + c_x * c_y + c_y**2:
        difference = x.transpose(1, 2) @ x / c_x - y.transpose(1, 2) @ y / c_y
        return difference.square().sum(dim=(1, 2)).mean()
    own, theirs, both = (mean_square_product(*pair) for pair in ((x, x), (y, y), (x, y)))
    return own + theirs - 2 * both


def mean_square_product(x: Tensor, y: Tensor) -> Tensor:
    """Mean over batch and pairs of the squared inner products of vectors x (B, C, N) and y (B, C', N)."""
    return (x @ y.transpose(1, 2)).square().mean()


class NST(Distiller):
    """Neuron selectivity transfer between the stage maps of student and teacher."""

    label = "NST"
    formula = "sum over stages of MMD^2 of the channels nu(F_c), kernel (x.y)^2"
    weights = LossWeights(1.0, 0.0, 50.0)

    def __init__(self, example: Example):
        super().__init__(example)
        self.loss = NSTLoss()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps, teacher.maps)
