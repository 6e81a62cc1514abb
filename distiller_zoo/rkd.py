"""Relation knowledge: distances and angles between the embeddings of a batch."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float
from helper.batch import Batch, Output
from helper.device import full_precision
from helper.errors import UserError

EPSILON = 1e-12


class RKDLoss(nn.Module):
    """Smooth-L1 of the relative distances of pairs (times w_d) and of the cosines of triplets' angles (w_a).

    Distances are divided by their mean over pairs of different images. Park, Kim, Lu, Cho: "Relational
    Knowledge Distillation", CVPR 2019, equations 4 to 9. https://arxiv.org/abs/1904.05068

        >>> import torch
        >>> f_t = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
        >>> RKDLoss(w_d=25, w_a=50)(3 * f_t, f_t).item() < 1e-6  # relations know no scale
        True
    """

    def __init__(self, w_d: float = 25.0, w_a: float = 50.0):
        super().__init__()
        self.w_d, self.w_a = w_d, w_a

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Loss of the student's embeddings (B, D_s) against the teacher's (B, D_t), B at least 2."""
        with full_precision(f_s.device.type):
            student, teacher = precise(f_s).flatten(1), precise(f_t).flatten(1).detach()
            distance = F.smooth_l1_loss(relative_distances(student), relative_distances(teacher))
            angle = F.smooth_l1_loss(angle_cosines(student), angle_cosines(teacher))
            return self.w_d * distance + self.w_a * angle


def relative_distances(embeddings: Tensor) -> Tensor:
    """Pairwise Euclidean distances (B, B) of embeddings (B, D), over their mean over pairs (one image: 0)."""
    squares = embeddings.square().sum(dim=1)
    between = squares[:, None] + squares[None, :] - 2.0 * embeddings @ embeddings.T
    different = 1.0 - torch.eye(len(embeddings), device=embeddings.device)
    distances = between.clamp(min=EPSILON).sqrt() * different
    return distances * (different.sum() / distances.sum().clamp(min=EPSILON))


def angle_cosines(embeddings: Tensor) -> Tensor:
    """Cosine of the angle at image i between images j and k, (B, B, B), of embeddings (B, D)."""
    directions = F.normalize(embeddings[None, :, :] - embeddings[:, None, :], dim=2, eps=EPSILON)
    return directions @ directions.transpose(1, 2)


class RKD(Distiller):
    """RKD on the pooled embeddings.

    Published code: ModReduce's compares the logits instead.
    """

    label = "RKD"
    formula = (
        "25 H(d_s, d_t) + 50 H(a_s, a_t); H smooth L1, d relative distances of pairs, a cosines of triplets"
    )
    weights = LossWeights(1.0, 1.0, 1.0)
    multiplier = 1.0

    def __init__(
        self,
        example: Example,
        *,
        rkd_distance: Annotated[float, non_negative_float, "weight of distances (default 25)"] = 25.0,
        rkd_angle: Annotated[float, non_negative_float, "weight of angles (default 50)"] = 50.0,
    ):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for rkd, which compares the images of a batch: use at least 2"
            )
        self.loss = RKDLoss(rkd_distance, rkd_angle)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.embedding, teacher.embedding)
