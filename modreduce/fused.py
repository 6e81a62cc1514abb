"""Ensembles that fuse the students' logits into one output, which every student is pulled towards."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from distiller_zoo.kd import TEMPERATURE, DistillKL
from helper.arguments import positive_float
from helper.batch import Batch
from helper.device import full_precision
from helper.distributed import Ranks
from modreduce.online import OnlineMethod
from modreduce.student import Student


class FusedEnsemble(OnlineMethod):
    """Fused logits g of the students' detached logits; g trains by cross-entropy, students see it detached.

    Total loss of student k: w * KD(z_k, g, T = 4) + (1 - w) * offline_k, with w of `online_weight`
    (ModReduce). A subclass says in `combine` how logits become one output; where it has flags of its own it
    hands the others on.
    """

    fewest_students = 2
    has_ensemble = True

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
        **schedule: Any,
    ):
        super().__init__(count, num_classes, **schedule)
        self.kd = DistillKL(kd_T or TEMPERATURE)
        self.kd_of_shape = DistillKL(kd_T or TEMPERATURE, standardise=True)
        self._fused: Tensor | None = None

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Fused logits (B, C) and weights (N,) from stacked logits (N, B, C) and images (B, 3, H, W)."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int, epochs: int) -> float:
        weight = self.online_weight(epoch, epochs)
        self.weight.fill_(weight)
        return weight

    def targets(self, logits: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        self._fused, _ = self.fuse(logits, batch.images)
        return [self._fused.detach()] * len(logits)

    def own_loss(self, batch: Batch) -> Tensor:
        fused, self._fused = self._fused, None
        return self.label_loss(fused, batch.labels)

    def total(self, student: Student, logits: Tensor, terms: dict[str, Tensor], target: Tensor) -> Tensor:
        kd = self.kd_of_shape if student.free_scale else self.kd
        terms["online"] = kd(logits, target)
        return self.weight * terms["online"] + (1.0 - self.weight) * student.offline(terms)

    def fuse(self, logits: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        with full_precision(images.device.type):
            return self.combine(torch.stack(self.comparable(logits)), images)


def fused_logits(
    names: Sequence[str],
    networks: Sequence[nn.Module],
    online: OnlineMethod,
    images: Tensor,
    ranks: Ranks | None = None,
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Logits (B, C) of each network by name, of what fuses them under 'ensemble', and its weights (N,).

    ranks: which compute the networks' logits, each those of its students.
    """
    ranks = ranks or Ranks()
    logits = ranks.gather([network(images).float() for network in ranks.mine(networks)], len(networks))
    fused = online.fuse(logits, images)
    named = dict(zip(names, logits, strict=True))
    return (named, None) if fused is None else (named | {"ensemble": fused[0]}, fused[1])
