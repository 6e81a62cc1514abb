"""Relation knowledge: how probable it is that one image of a batch is taken for another."""

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.relations import cosine_kernel, products, shares
from helper.batch import Batch, Output


class PKTLoss(nn.Module):
    """Mean over all pairs of p log(p / q), p and q the teacher's and the student's shares of similarity.

    The similarity of two images is half of one plus their cosine; a share is that divided by the sum over the
    batch, the image itself included. Passalis, Tefas: "Learning Deep Representations with Probabilistic
    Knowledge Transfer", ECCV 2018, section 3. https://arxiv.org/abs/1803.10837

    Published code: the gradient of a student's embedding of zeros is NaN; here it has none.

    eps: added to lengths and shares.

    >>> f_s, f_t = torch.rand(4, 16), torch.rand(4, 64)
    >>> PKTLoss()(f_s, f_t) > 0, PKTLoss()(f_s, f_s)
    (tensor(True), tensor(0.))
    """

    def __init__(self, eps: float = 1e-7):
        super().__init__()
        self.eps = eps

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Loss of the student's embeddings (B, D_s) against the teacher's (B, D_t)."""
        q = shares(cosine_kernel(products(f_s), self.eps))
        p = shares(cosine_kernel(products(f_t.detach()), self.eps))
        # The logarithm of the ratio: a difference of logarithms costs a factor of 30 in precision.
        return (p * torch.log((p + self.eps) / (q + self.eps))).mean()


class PKT(Distiller):
    """Probabilistic knowledge transfer on the pooled embeddings."""

    label = "PKT"
    formula = "sum P_t log(P_t / P_s) / B^2; P the rows of (1 + cos(e_i, e_j)) / 2, each divided by its sum"
    weights = LossWeights(1.0, 0.0, 30000.0)

    def __init__(self, example: Example):
        super().__init__(example)
        self.loss = PKTLoss()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.embedding, teacher.embedding)
