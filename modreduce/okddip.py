"""Diverse peers: each peer learns from its own attention over all peers, and a leader from their mean."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.maps import precise
from helper.arguments import positive_float, positive_int
from helper.batch import Batch, Output
from helper.device import full_precision
from helper.errors import UserError
from modreduce.dml import peer_divergence
from modreduce.mutual import MutualLearning
from modreduce.schedule import consistency_weight
from modreduce.student import Student

EPSILON = 1e-7  # published: added to the targets' probabilities
PUBLISHED_RAMP_UP, PUBLISHED_EPOCHS = 80, 300


class OKDDipLoss(nn.Module):
    """The divergence of each peer from its own mixture of all peers, and of the leader from their mean.

    Mixtures are by attention, per image: softmax over j of <Q h_i, K h_j>, h the pooled embeddings, Q and K
    linear without bias, to an eighth of their width. D. Chen, Mei, C. Wang, Feng, C. Chen: "Online Knowledge
    Distillation with Diverse Peers", AAAI 2020, equations 3 to 7. https://arxiv.org/abs/1912.00350

    width: of the peers' embeddings; T: temperature; factor: by which Q and K shrink the width.

    >>> loss = OKDDipLoss(16)
    >>> loss([torch.randn(4, 10)] * 3, [torch.randn(4, 16)] * 2).shape
    torch.Size([3])
    """

    def __init__(self, width: int, T: float = 3.0, factor: int = 8):
        super().__init__()
        self.T = T
        self.query_weight = nn.Linear(width, max(width // factor, 1), bias=False)
        self.key_weight = nn.Linear(width, max(width // factor, 1), bias=False)

    def targets(
        self, logits: Sequence[Tensor], embeddings: Sequence[Tensor], attention_learns: bool = True
    ) -> Tensor:
        """Each peer's target (B, M, C), of the peers' logits, M of (B, C), and embeddings, M of (B, D)."""
        query, key = self.query_weight.weight, self.key_weight.weight
        if not attention_learns:
            query, key = query.detach(), key.detach()
        h = torch.stack(list(embeddings), dim=1)
        attention = torch.softmax(F.linear(h, query) @ F.linear(h, key).transpose(1, 2), dim=2)
        return attention @ torch.stack(list(logits), dim=1)

    def forward(
        self, logits: Sequence[Tensor], embeddings: Sequence[Tensor], attention_learns: bool = True
    ) -> Tensor:
        """Losses (M + 1,) of the peers and of the leader, whose logits come last; nothing is detached.

        logits: M + 1 tensors (B, C); embeddings: M of (B, D), the peers'; attention_learns: whether gradients
        reach Q and K.
        """
        *peers, leader = logits
        targets = self.targets(peers, embeddings, attention_learns).unbind(dim=1)
        mean = torch.stack(peers).mean(dim=0)
        pairs = [*zip(peers, targets, strict=True), (leader, mean)]
        return torch.stack([peer_divergence(z, target, self.T, EPSILON) for z, target in pairs])


class Seen(NamedTuple):
    """What a student needs to know of all: its position, their logits, the peers' embeddings, its own among
    these with a gradient.
    """

    position: int
    logits: list[Tensor]
    embeddings: list[Tensor]


class DiversePeers(MutualLearning):
    """OKDDip: the last student is the leader, the others are peers; in the end the leader is deployed.

    Each student's online loss is its own divergence; its gradient is that of the whole group's, so that a
    peer is also moved by what the others and the leader learn from it, as in the published code. The weight
    w of the online loss follows exp(-5 (1 - t/80)^2) over the first 80 of 300 epochs. The ensemble reported
    is the mean of the peers. Peers need embeddings of one width; the leader may be any network.
    """

    name = "okddip"
    fewest_students = 3

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        okddip_T: Annotated[float, positive_float, "okddip: temperature"] = 3.0,
        okddip_ramp_up: Annotated[
            int | None,
            positive_int,
            "okddip: epochs until the peers count fully (default 80 of 300, or as much of the run)",
            {"metavar": "EPOCHS"},
        ] = None,
        **schedule: Any,
    ):
        super().__init__(count, num_classes, **schedule)
        self.T, self.ramp_up = okddip_T, okddip_ramp_up
        self.width, self.loss = 0, None
        self._embeddings: list[Tensor] = []
        self._fixed: tuple[list[Tensor], list[Tensor]] = ([], [])

    def join(self, students: Sequence[Student]) -> None:
        """Size the attention by the peers' embeddings; UserError if these differ in width."""
        super().join(students)
        widths = {student.name: student.network.classifier.in_features for student in students[:-1]}
        if len(set(widths.values())) > 1:
            found = ", ".join(f"{name} {width}" for name, width in widths.items())
            raise UserError(
                f"--online okddip compares the peers' embeddings, whose widths differ ({found}): give all "
                "students but the last a network of the same width, or choose another --online"
            )
        self.width = next(iter(widths.values()))
        self.loss = OKDDipLoss(self.width, self.T)

    def observe(self, outputs: Sequence[Output | None]) -> None:
        """Take the peers' embeddings of this step, with gradients."""
        *peers, leader = outputs
        own = [precise(output.embedding) for output in peers if output is not None]
        like = own[0] if own else leader.logits.new_empty(len(leader.logits), self.width)
        self._embeddings = self.ranks.gather(own, len(peers), like)

    def peer_weight(self, epoch: int, epochs: int) -> float:
        ramp_up = self.ramp_up or max(1, PUBLISHED_RAMP_UP * epochs // PUBLISHED_EPOCHS)
        return consistency_weight(epoch, ramp_up)

    def targets(self, logits: Sequence[Tensor], batch: Batch) -> list[Seen]:
        """What every student sees of the others; `observe` has to have been called in this step."""
        live, self._embeddings = self._embeddings, []
        fixed = [embedding.detach() for embedding in live]
        self._fixed = list(logits), fixed
        return [
            Seen(k, list(logits), [live[j] if j == k else h for j, h in enumerate(fixed)])
            for k in range(len(logits))
        ]

    def own_loss(self, batch: Batch) -> Tensor:
        """What the attention learns from: the losses of all, whose students are constant here."""
        (logits, embeddings), self._fixed = self._fixed, ([], [])
        with full_precision(batch.images.device.type):
            return self.weight * self.loss(logits, embeddings).sum()

    def total(self, student: Student, logits: Tensor, terms: dict[str, Tensor], target: Seen) -> Tensor:
        k = target.position
        with full_precision(logits.device.type):
            all_logits = [logits if j == k else z for j, z in enumerate(target.logits)]
            losses = self.loss(all_logits, target.embeddings, attention_learns=False)
            of_group = losses.sum()
            return self.joined(student, terms, losses[k].detach() + (of_group - of_group.detach()))

    def fuse(self, logits: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        mean, weights = super().fuse(logits[:-1], images)
        share = torch.full_like(weights, 1.0 / (self.count - 1))
        share[-1] = 0.0
        return mean, share
