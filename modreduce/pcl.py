"""Peer collaborative learning: everyone learns from the others' moving averages."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from distiller_zoo import DistillKL
from engine.averages import Averages
from helper.arguments import fraction, positive_float, positive_int
from helper.batch import Batch
from modreduce.online import OnlineMethod
from modreduce.schedule import consistency_weight
from modreduce.student import Student


class PeerCollaborative(OnlineMethod):
    """Every student keeps an exponential moving average of itself; the others learn from it.

    Total loss of student k: m_k * (CE + beta * method + r * KD + r * sum over peers j of KD_T3(z_k,
    average_j)) / (1 + beta + 1 + r), r ramped up over 80 epochs. Averages are taken at every step, batch-norm
    statistics included, with min(1 - 1/(t+1), 0.999) as the decay. Wu and Gong: "Peer Collaborative Learning
    for Online Knowledge Distillation", 2021, equations 5 to 8. The ensemble reported is the mean of the
    averages' logits.
    """

    name = "pcl"
    fewest_students = 2
    has_ensemble = True

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        pcl_T: Annotated[float, positive_float, "pcl: temperature between peers"] = 3.0,
        pcl_decay: Annotated[float, fraction, "pcl: decay of the moving averages"] = 0.999,
        pcl_ramp_up: Annotated[
            int | None,
            positive_int,
            "pcl: epochs until the soft targets count fully (default a third of the run: 80 of 240)",
            {"metavar": "EPOCHS"},
        ] = None,
        **schedule: Any,
    ):
        super().__init__(count, num_classes, **schedule)
        self.kd = DistillKL(pcl_T)
        self.kd_of_shape = DistillKL(pcl_T, standardise=True)
        self.decay = pcl_decay
        self.ramp_up = pcl_ramp_up
        self.averages = Averages()
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("active", torch.zeros(()))  # a part of every state since version 0.1
        self._asked = True

    def join(self, students: Sequence[Student]) -> None:
        """Every student's average starts as a copy of its network."""
        super().join(students)
        self.averages = Averages(student.network for student in students)

    @property
    def form(self) -> str:
        return "peers are asked" if self._asked else "offline"

    def begin_epoch(self, epoch: int, epochs: int) -> float:
        """Before `--online_start` students learn offline only; from then on r follows its ramp."""
        self._asked = epoch >= self.start
        weight = consistency_weight(epoch, self.ramp_up or max(1, epochs // 3))
        self.active.fill_(float(self._asked))
        self.weight.fill_(weight)
        return weight if self._asked else 0.0

    @torch.no_grad()
    def peer_logits(self, images: Tensor) -> list[Tensor]:
        """Logits (B, C) of every student's average."""
        logits = [average(images).float() for average in self.ranks.mine(list(self.averages))]
        return self.ranks.gather(logits, self.count)

    def targets(self, logits: Sequence[Tensor], batch: Batch) -> list[list[Tensor] | None]:
        """The other students' averages' logits, for each student; they are asked only once they count."""
        if not self._asked:
            return [None] * len(logits)
        peers = self.peer_logits(batch.images)
        return [[peer for j, peer in enumerate(peers) if j != k] for k in range(len(logits))]

    def total(
        self, student: Student, logits: Tensor, terms: dict[str, Tensor], target: list[Tensor] | None
    ) -> Tensor:
        if target is None:
            return student.offline(terms)
        kd = self.kd_of_shape if student.free_scale else self.kd
        terms["online"] = sum(kd(logits, peer) for peer in target)
        return student.scale(self.weight) * (
            student.offline_sum(terms, self.weight) + self.weight * terms["online"]
        )

    @torch.no_grad()
    def after_step(self, students: Sequence[Student | None]) -> None:
        """Move every average towards its student."""
        networks = [None if student is None else student.network for student in students]
        averages, current = self.averages.pairs(networks)
        decay = torch.clamp(1.0 - 1.0 / (self.steps + 1.0), max=self.decay)
        self.steps += 1.0
        torch._foreach_mul_(averages, decay)
        torch._foreach_add_(averages, torch._foreach_mul(current, 1.0 - decay))

    def parts(self, place: int) -> list[nn.Module]:
        return [self.averages[place]]

    def fuse(self, logits: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.stack(self.comparable(self.peer_logits(images))).mean(dim=0)
        return mean, torch.full((self.count,), 1.0 / self.count, device=mean.device)
