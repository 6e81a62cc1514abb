"""Relation knowledge: how student and teacher differ on neighbouring images of a batch."""

from typing import Annotated

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise
from helper.arguments import positive_int
from helper.batch import Batch, Output
from helper.errors import UserError


class CCLoss(nn.Module):
    """Mean over neighbours in the batch of the inner product of their absolute differences.

    The difference of an image is that of student and teacher after a trained linear layer each. Peng et al.:
    "Correlation Congruence for Knowledge Distillation", ICCV 2019. https://arxiv.org/abs/1904.01802

    Published code: that of the benchmarks, followed here, compares neighbours in the batch alone and has no
    kernel; the paper's method is a Taylor-expanded kernel of all pairs. One image gives NaN there and 0 here.

    s_dim, t_dim: sizes of the networks' embeddings; feat_dim: size after the layers. Both layers are trained,
    so that equal outputs whatever the image are a minimum.

    >>> loss = CCLoss(s_dim=64, t_dim=128)
    >>> loss(torch.randn(8, 64), torch.randn(8, 128)) > 0
    tensor(True)
    """

    def __init__(self, s_dim: int, t_dim: int, feat_dim: int = 128):
        super().__init__()
        self.embed_s = nn.Linear(s_dim, feat_dim)
        self.embed_t = nn.Linear(t_dim, feat_dim)

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Loss of the student's embeddings (B, s_dim) against the teacher's (B, t_dim); 0 for one image."""
        own, theirs = self.embed_s(precise(f_s).flatten(1)), self.embed_t(precise(f_t.detach()).flatten(1))
        difference = (own - theirs).abs()
        return torch.sum(difference[:-1] * difference[1:]) / max(len(difference) - 1, 1)


class CC(Distiller):
    """Correlation congruence on the pooled embeddings. Its value depends on the order of the batch."""

    label = "CC"
    formula = "mean over neighbours i of the batch of <|u_i - v_i|, |u_i+1 - v_i+1|>; u, v linear in e_s, e_t"
    weights = LossWeights(1.0, 0.0, 0.02)

    def __init__(
        self,
        example: Example,
        *,
        feat_dim: Annotated[int, positive_int, "CC, CRD: size of the embeddings"] = 128,
    ):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for cc, which compares the images of a batch: use at least 2"
            )
        self.loss = CCLoss(example.student.embedding.shape[1], example.teacher.embedding.shape[1], feat_dim)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.embedding, teacher.embedding)
