"""Response knowledge in two parts: a soft label for the target class, and a distribution of classes."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import MASKED, is_target, teacher_logits
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output


class NKDLoss(nn.Module):
    """-p_t log p_s of the target class, and gamma * T^2 times the cross-entropy of softmax(z_s / T) from
    softmax(z_t / T); batch means.

    Yang et al.: "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels", ICCV 2023. https://arxiv.org/abs/2303.13005

    Published code: the paper's distributions leave the target class out, but the mask that should do so keeps
    every class. Its results are those of all classes, the default here.

    T: temperature of the second part, above 0; gamma: its weight; only_others: whether it leaves the target
    out, as the paper says.

        >>> import torch
        >>> z_s, z_t = torch.zeros(1, 2), torch.tensor([[0.0, 0.0]])
        >>> round(NKDLoss()(z_s, z_t, torch.tensor([0])).item(), 4)
        1.3863
    """

    def __init__(self, T: float = 1.0, gamma: float = 1.5, only_others: bool = False):
        super().__init__()
        self.T, self.gamma, self.only_others = T, gamma, only_others

    def forward(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C) with labels (B,)."""
        z_s, z_t = precise(z_s), teacher_logits(z_t)
        target = is_target(labels, z_s.shape[1])
        soft_label = F.softmax(z_t, dim=1) * F.log_softmax(z_s, dim=1)
        of_target = -soft_label.masked_fill(~target, 0.0).sum(dim=1)
        z_s, z_t = z_s / self.T, z_t / self.T
        if self.only_others:
            z_s, z_t = z_s.masked_fill(target, MASKED), z_t.masked_fill(target, MASKED)
        of_classes = -(F.softmax(z_t, dim=1) * F.log_softmax(z_s, dim=1)).sum(dim=1)
        return of_target.mean() + self.gamma * self.T**2 * of_classes.mean()


class NKD(Distiller):
    """NKD beside plain CE."""

    label = "NKD"
    formula = "-p_t,y log p_s,y - gamma T^2 sum_k n_t,k log n_s,k; n = softmax(z / T)"
    weights = LossWeights(1.0, 0.0, 1.0)
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        nkd_gamma: Annotated[float, non_negative_float, "NKD: weight of the distribution"] = 1.5,
        nkd_T: Annotated[float, positive_float, "NKD: temperature of the distribution"] = 1.0,
        nkd_classes: Annotated[
            str,
            ("all", "others"),
            "NKD: its classes, all as in the published code or others as in the paper",
        ] = "all",
    ):
        super().__init__(example)
        self.loss = NKDLoss(nkd_T, nkd_gamma, only_others=nkd_classes == "others")

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.logits, teacher.logits, batch.labels)
