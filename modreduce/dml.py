"""Deep mutual learning: every student learns from every other one."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helper.arguments import positive_float
from helper.batch import Batch
from modreduce.mutual import MutualLearning
from modreduce.student import Student

FORMS = ("mean", "sum", "logits")


def peer_divergence(z: Tensor, target: Tensor, T: float = 1.0, epsilon: float = 0.0) -> Tensor:
    """T^2 * KL(p || softmax(z / T)), batch mean, with p = softmax(target / T) + epsilon.

    z, target: logits (B, C) of a student and of what it learns from, both with gradients. With the published
    epsilon of OKDDip, 1e-7, p does not quite sum to 1.
    """
    log_p = F.log_softmax(target / T, dim=1)
    p = log_p.exp()
    if epsilon:
        p = p + epsilon
        log_p = p.log()
    return (p * (log_p - F.log_softmax(z / T, dim=1))).sum(dim=1).mean() * T**2


class DMLLoss(nn.Module):
    """The divergence of each student's probabilities from those of its peers.

    form: over the peers a `mean` (as in PyTorch versions), a `sum` (the authors' TensorFlow code), or one
    divergence from the mean of their `logits` (OKDDip's version). Zhang, Xiang, Hospedales, Lu: "Deep Mutual
    Learning", CVPR 2018, equations 5 and 6. https://arxiv.org/abs/1706.00384

    T: temperature; through_targets: whether gradients also reach the peers (OKDDip's version); epsilon: added
    to the peers' probabilities. Raises ValueError for an unknown form.

    >>> z = [torch.zeros(2, 5), torch.zeros(2, 5)]
    >>> DMLLoss()(z)
    tensor([0., 0.])
    """

    def __init__(
        self, T: float = 1.0, form: str = "mean", through_targets: bool = False, epsilon: float = 0.0
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form is {form!r}: allowed are {', '.join(FORMS)}")
        self.T, self.form, self.through_targets, self.epsilon = T, form, through_targets, epsilon

    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        """Losses (N,) of the students' logits, N tensors (B, C), N at least 2."""
        losses = []
        for k, z in enumerate(logits):
            peers = [peer for j, peer in enumerate(logits) if j != k]
            losses.append(self.of_student(z, peers if self.through_targets else [p.detach() for p in peers]))
        return torch.stack(losses)

    def of_student(self, z: Tensor, peers: Sequence[Tensor]) -> Tensor:
        """The loss of one student's logits (B, C) against its peers', each (B, C)."""
        if self.form == "logits":
            peers = [torch.stack(list(peers)).mean(dim=0)]
        losses = torch.stack([peer_divergence(z, peer, self.T, self.epsilon) for peer in peers])
        return losses.sum() if self.form == "sum" else losses.mean()


class DeepMutualLearning(MutualLearning):
    """DML: the online loss of student k is its divergence from the other students, its target in one pass.

    The authors update one network after the other, each on a pass of its own; here, as in the PyTorch
    versions, all learn from the same pass.
    """

    name = "dml"

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        dml_T: Annotated[float, positive_float, "dml: temperature"] = 1.0,
        dml_form: Annotated[
            str, FORMS, "dml: mean or sum over the peers, or the mean of their logits as one peer"
        ] = "mean",
        dml_weight: Annotated[float, positive_float, "dml: weight of the peers beside the labels"] = 1.0,
        **schedule: Any,
    ):
        super().__init__(count, num_classes, **schedule)
        self.loss, self.full = DMLLoss(dml_T, dml_form), dml_weight

    def peer_weight(self, epoch: int, epochs: int) -> float:
        return self.full

    def targets(self, logits: Sequence[Tensor], batch: Batch) -> list[list[Tensor]]:
        """The other students' logits, for each student."""
        return [[peer for j, peer in enumerate(logits) if j != k] for k in range(len(logits))]

    def total(
        self, student: Student, logits: Tensor, terms: dict[str, Tensor], target: list[Tensor]
    ) -> Tensor:
        return self.joined(student, terms, self.loss.of_student(logits, target))
