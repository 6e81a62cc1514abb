"""Feature knowledge many to one: copies of the teacher's last map, each met by channels of its own."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.kd import TEMPERATURE, DistillKL
from distiller_zoo.maps import precise
from helper.batch import Batch, Output
from helper.errors import UserError
from models.many_to_one import NORMNetwork, fixed_norm, norm_name

RUN = 240  # epochs that the schedule is written for
SCHEDULE = ((210, 0.1), (180, 0.5), (20, 1.0), (10, 0.5), (0, 0.1))  # (from epoch, factor)


class NORMLoss(nn.Module):
    """N times the mean squared difference between the expanded map and N copies of the teacher's.

    Liu, Li, Li, Yao: "NORM: Knowledge Distillation via N-to-One Representation Matching", ICLR 2023, section
    3.2. https://openreview.net/forum?id=CRNwGauQpb6

    >>> NORMLoss()(torch.ones(2, 6, 4, 4), torch.zeros(2, 3, 8, 8))
    tensor(2.)
    """

    def forward(self, expanded: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of the expanded map (B, N C, H, W) against the teacher's (B, C, r H, r W), which is
        max-pooled to the student's size.
        """
        target = precise(f_t.detach())
        if target.shape[2:] != expanded.shape[2:]:
            target = F.max_pool2d(
                target, tuple(n // m for n, m in zip(target.shape[2:], expanded.shape[2:], strict=True))
            )
        copies = expanded.shape[1] // target.shape[1]
        expanded = precise(expanded).unflatten(1, (copies, -1))
        return copies * F.mse_loss(expanded, target[:, None].expand_as(expanded))


class NORMKDLoss(nn.Module):
    """KD against the teacher's logits of fixed norm, for students whose own have it already (NORM + KD)."""

    def __init__(self, T: float):
        super().__init__()
        self.kd = DistillKL(T)

    def forward(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Scalar loss of the student's logits (B, C) against the teacher's (B, C)."""
        return self.kd(z_s, fixed_norm(precise(z_t)))


def schedule(epoch: int, epochs: int = RUN) -> float:
    """The factor of the loss in epoch `epoch` (from 0), as in the published 240, stretched over the run."""
    position = max(RUN * epoch // epochs, 0)
    return next(factor for start, factor in SCHEDULE if position >= start)


class NORM(Distiller):
    """NORM on the last stage maps, in a student with a head of its own.

    The published weight of cross-entropy is searched per pair, 0.0625 to 0.5; 0.1 is its example's. With -a
    above 0, NORM + KD: both networks' logits of fixed norm are compared.

    Published code: ShuffleNets do not run with more than one copy; here they do. In a wide ResNet the
    residual joins the map in front of the last BN and ReLU, here the one behind them; in MobileNetV2 the one
    behind the last convolution, here the one in front of it. Its schedule counts epochs 0 to 240, one more
    than here.
    """

    label = "NORM"
    formula = (
        "N |x - N copies of F_t|^2, a mean over all elements; x the student's map expanded to N C channels, "
        "a part of the network"
    )
    weights = LossWeights(0.1, 0.0, 1.0)
    free_scale = True

    def __init__(self, example: Example):
        super().__init__(example)
        expanded, target = example.student.maps[-1].shape, example.teacher.maps[-1].shape
        if target[2] % expanded[2] or target[3] % expanded[3]:
            raise UserError(
                f"norm cannot match a student's map of {expanded[2]} x {expanded[3]} with the teacher's "
                f"{target[2]} x {target[3]}: the teacher's has to be a whole number of times as large"
            )
        self.loss = NORMLoss()
        self.register_buffer("factor", torch.ones(()), persistent=False)

    @classmethod
    def kd_loss(cls, student: str, teacher: str, *, kd_T: float | None = None, **flags: Any) -> NORMKDLoss:
        """KD on logits of fixed norm."""
        return NORMKDLoss(kd_T or TEMPERATURE)

    @staticmethod
    def network(student: nn.Module, teacher: nn.Module, num_classes: int) -> NORMNetwork:
        return NORMNetwork.of(student, teacher, num_classes)

    @staticmethod
    def network_name(student: str, teacher: str) -> str:
        """The name under which `models.build_network` builds the network anew."""
        return norm_name(student, teacher)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.factor.fill_(schedule(epoch, epochs))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.factor * self.loss(student.maps[-1], teacher.maps[-1])
