"""Response knowledge as correlations: the order of the probabilities counts, not their exact values."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import teacher_logits
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output

EPSILON = 1e-8


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlations (N,) of the rows of a and b, both (N, M); 0 for a constant row."""
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (a, b))
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return (a * b).sum(dim=1) / (norms + EPSILON)


class DISTLoss(nn.Module):
    """tau^2 * (beta * inter + gamma * intra): 1 - the mean correlation of student's and teacher's
    probabilities, over the classes of each image (inter) and over the images of each class (intra).

    Huang, You, Wang, Qian, Xu: "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, section 3.
    https://arxiv.org/abs/2205.10536

    Intra is a statistic of the batch: it changes with the batch size, and is constant for one image.

    beta, gamma: weights of inter and intra; tau: temperature, above 0.

        >>> import torch
        >>> z = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
        >>> abs(DISTLoss(tau=1.0)(z, z).item()) < 1e-5
        True
    """

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, tau: float = 4.0):
        super().__init__()
        self.beta, self.gamma, self.tau = beta, gamma, tau

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        p_s = F.softmax(precise(z_s) / self.tau, dim=1)
        p_t = F.softmax(teacher_logits(z_t) / self.tau, dim=1)
        inter = 1 - correlations(p_s, p_t).mean()
        intra = 1 - correlations(p_s.T, p_t.T).mean()
        return self.tau**2 * (self.beta * inter + self.gamma * intra)


class DIST(Distiller):
    """DIST beside plain CE."""

    label = "DIST"
    formula = "T^2 ((1 - mean corr of rows) + (1 - mean corr of columns)) of p_s, p_t, T = 4"
    weights = LossWeights(1.0, 0.0, 2.0)

    def __init__(
        self,
        example: Example,
        *,
        dist_beta: Annotated[float, non_negative_float, "DIST: weight of correlations over classes"] = 1.0,
        dist_gamma: Annotated[float, non_negative_float, "DIST: weight of correlations over images"] = 1.0,
        dist_tau: Annotated[float, positive_float, "DIST: temperature"] = 4.0,
    ):
        super().__init__(example)
        self.loss = DISTLoss(dist_beta, dist_gamma, dist_tau)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits)
