"""What methods have in common in which the students themselves are each other's teachers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from modreduce.online import OnlineMethod
from modreduce.student import Student


class MutualLearning(OnlineMethod):
    """Students that learn from each other's logits, with or without a frozen teacher beside them.

    Total loss of student k: m_k * (CE + KD + beta * method + w * online_k) / (1 + 1 + beta + w); w is 0
    before `--online_start`. A subclass says what online_k is and how w grows. The ensemble reported is the
    mean of the logits.
    """

    fewest_students = 2
    has_ensemble = True

    def peer_weight(self, epoch: int, epochs: int) -> float:
        """What the online loss counts in epoch `epoch` (from 0) of `epochs`."""
        return 1.0

    def begin_epoch(self, epoch: int, epochs: int) -> float:
        weight = self.peer_weight(epoch, epochs) if epoch >= self.start else 0.0
        self.weight.fill_(weight)
        return weight

    def joined(self, student: Student, terms: dict[str, Tensor], online: Tensor) -> Tensor:
        """A student's total loss, of its terms and the unweighted online loss, which is added to them."""
        terms["online"] = online
        return student.scale(self.weight) * (student.offline_sum(terms) + self.weight * online)

    def fuse(self, logits: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.stack(self.comparable(logits)).mean(dim=0)
        return mean, torch.full((self.count,), 1.0 / self.count, device=mean.device)
