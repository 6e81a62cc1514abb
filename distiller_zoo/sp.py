"""Relation knowledge: which images of a batch activate a network alike."""

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.relations import products
from helper.batch import Batch, Output

SMALLEST_SQUARE = 1e-24


class SPLoss(nn.Module):
    """Mean squared difference of the batch's similarity matrices.

    Inner products between the images' maps, each row of the matrix divided by its length. Tung, Mori:
    "Similarity-Preserving Knowledge Distillation", ICCV 2019, section 2.
    https://arxiv.org/abs/1907.09682

    Published code: a row of zeros (an image whose map is zero) has a gradient of 1e12; here it is a constant.
    The loss has the shape (1,), here (), and channels-last maps fail, which are allowed here.

    >>> f_s, f_t = torch.rand(4, 8, 4, 4), torch.rand(4, 32, 8, 8)
    >>> SPLoss()(f_s, f_t).shape, SPLoss()(f_s, f_s)
    (torch.Size([]), tensor(0.))
    """

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Loss of the student's maps (B, ...) against the teacher's (B, ...)."""
        return (similarities(f_s) - similarities(f_t.detach())).square().mean()


def similarities(f: Tensor) -> Tensor:
    """Inner products (B, B) of the flattened maps (B, ...), rows of unit length."""
    between = products(f)
    squares = between.square().sum(dim=1, keepdim=True)
    present = squares > SMALLEST_SQUARE
    return torch.where(present, between / torch.where(present, squares, 1.0).sqrt(), 0.0)


class SP(Distiller):
    """Similarity preserving on the last stage's map."""

    label = "SP"
    formula = "|nu(G_s) - nu(G_t)|^2 / B^2; G = F F' over the images of the batch"
    weights = LossWeights(1.0, 0.0, 3000.0)

    def __init__(self, example: Example):
        super().__init__(example)
        self.loss = SPLoss()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps[-1], teacher.maps[-1])
