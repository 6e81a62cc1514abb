"""Relation knowledge of all stages: how information flows through a network."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.relations import cosine_kernel, products, shares, squared_distances
from helper.arguments import non_negative_float
from helper.batch import Batch, Output

EPSILON = 1e-6
SMALLEST_SIMILARITY = 1e-7  # one rounding of fp32 beside 1


class HKDLoss(nn.Module):
    """Divergence of the shares of similarity between the images of a batch, at every stage.

    Two similarities: half of one plus the cosine, and 1 / (1 + distance); shares as in PKT; the divergence is
    the mean over all pairs of (p - q)(log p - log q). Passalis, Tzelepi, Tefas: "Heterogeneous Knowledge
    Distillation Using Information Flow Modeling", CVPR 2020, section 3. https://arxiv.org/abs/2005.00727

    Published code: SemCKD's is followed here. The decay of the first stage's weight is computed there and not
    used; the weight is constant here as well. In the authors' own code layers run from the last to the first,
    the embedding counts once, and all others have one weight that fades over the epochs. SemCKD's distance of
    an image to itself is rounding, which changes the loss by a tenth; here it is the root of 1e-6 that exact
    arithmetic gives. The gradient of a student's map of zeros is NaN there; here it has none. Its logarithm
    has no epsilon; here a similarity is at least 1e-7. Channels-last maps fail there.

    init_weight: of the first stage; all others count once.

    >>> f_s, f_t = [torch.rand(4, 4, 8, 8)], [torch.rand(4, 16, 4, 4)]
    >>> HKDLoss()(f_s, f_t) > 0, HKDLoss()(f_s, f_s)
    (tensor(True), tensor(0.))
    """

    def __init__(self, init_weight: float = 100.0):
        super().__init__()
        self.init_weight = init_weight

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, ...)] against the teacher's [(B, ...)]; those without a partner are
        left out.
        """
        first, *others = self.pairs(f_s, f_t)
        return torch.stack([self.init_weight * first, *others]).sum()

    def pairs(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The unweighted loss of each pair of maps."""
        found = []
        for s, t in zip(f_s, f_t, strict=False):
            kernels = zip(similarities(s), similarities(t.detach()), strict=True)
            found.append(torch.stack([divergence(shares(k_t), shares(k_s)) for k_s, k_t in kernels]).sum())
        return found


def similarities(f: Tensor) -> tuple[Tensor, Tensor]:
    """The two similarity matrices (B, B) of maps (B, ...)."""
    between = products(f)
    distances = (squared_distances(between) + EPSILON).sqrt()
    return cosine_kernel(between, EPSILON).clamp(min=SMALLEST_SIMILARITY), 1 / (1 + distances)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Mean over all elements of (p - q) log(p / q)."""
    return ((p - q) * torch.log(p / q)).mean()


class HKD(Distiller):
    """HKD between the stage maps of student and teacher.

    Published code: it has two passes, PKT from the teacher to an auxiliary network, the student at double
    width, and HKD from that to the student. Here the second is the method: give the auxiliary network as the
    teacher.
    """

    label = "HKD"
    formula = (
        "100 l_1 + l_2 + ...; l = sum over two kernels of sum (P_s - P_t) (log P_s - log P_t) / B^2, P rows "
        "of the kernel over F"
    )
    weights = LossWeights(1.0, 1.0, 1.0)

    def __init__(
        self,
        example: Example,
        *,
        hkd_initial_weight: Annotated[float, non_negative_float, "HKD: weight of the first stage"] = 100.0,
    ):
        super().__init__(example)
        self.loss = HKDLoss(hkd_initial_weight)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps, teacher.maps)
