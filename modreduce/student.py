"""A student: a network, what it learns from the teacher, and how much each kind of knowledge counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, LossWeights
from distiller_zoo.kd import TEMPERATURE, DistillKL
from helper.batch import Batch, Output
from helper.device import full_precision
from modreduce.labels import LabelLoss
from modreduce.teacher import outputs
from modreduce.terms import method_sum, named

__all__ = ["LossWeights", "Student", "StudentPlan"]


@dataclass(frozen=True)
class StudentPlan:
    """What to build: the student's name, its network, its method (None without teacher), weights
    and multiplier.

    multiplier: factor of the whole offline loss; with `normalise` the loss is divided by gamma + alpha + beta
    first (ModReduce), without it is the plain sum (RepDistiller, SemCKD). network_name: of what is trained,
    where the method trains another network than the plain one; taps, small_stem: what was asked of a network
    of other code; init: the file of its first weights.
    """

    name: str
    model: str
    method: str | None
    weights: LossWeights
    multiplier: float = 1.0
    normalise: bool = True
    network_name: str | None = None
    label: str = ""
    taps: tuple[str, ...] | None = None
    small_stem: bool = False
    init: Path | None = None

    @property
    def arch(self) -> str:
        """The name that a checkpoint of the student's network carries."""
        return self.network_name or self.model


class Student(nn.Module):
    """A network that learns from labels, from a teacher's logits, and by one method of `distiller_zoo`.

    kd: the loss of the teacher's logits; free_scale: whether nothing holds the scale of the student's logits;
    said: what there is to say of how its network was made; label_loss: that of the labels.
    """

    def __init__(
        self,
        plan: StudentPlan,
        network: nn.Module,
        distiller: Distiller | None = None,
        kd: nn.Module | None = None,
        free_scale: bool = False,
        said: Sequence[str] = (),
        label_loss: LabelLoss | None = None,
    ):
        super().__init__()
        self.plan, self.name = plan, plan.name
        self.said = list(said)
        self.network = network
        self.distiller = distiller
        self.kd = kd if kd is not None else DistillKL(TEMPERATURE)
        self.free_scale = free_scale
        self.label_loss = label_loss or LabelLoss()
        # how far the method's weight has grown; set at the start of each epoch, so no part of the state
        self.register_buffer("grown", torch.ones(()), persistent=False)

    @property
    def pretraining(self) -> int:
        """Epochs of a first stage that the method asks for."""
        return self.distiller.pretraining if self.distiller is not None else 0

    def begin_epoch(self, epoch: int, epochs: int, seed: int) -> None:
        """Set the method's weight, its random stream and what it plans for epoch `epoch` (from 0) of
        `epochs`.
        """
        if self.distiller is None:
            return
        if self.distiller.warm_up:
            self.grown.fill_(min(1.0, max(epoch + 1, 0) / self.distiller.warm_up))
        self.distiller.random.manual_seed(seed)
        self.distiller.begin_epoch(epoch, epochs)

    def trained_parameters(self) -> list[nn.Parameter]:
        """The network's parameters and the method's, those that are trained in the run."""
        own = list(self.network.parameters())
        if self.distiller is not None:
            own += list(self.distiller.trained_parameters())
        return [p for p in own if p.requires_grad]

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """What the first stage trains; empty for a student that waits."""
        if not self.pretraining:
            return []
        return [p for p in self.distiller.pretrained_parameters(self.network) if p.requires_grad]

    def train_first_stage(self) -> None:
        """Modules that the first stage trains are in train mode, all others in eval mode."""
        self.eval()
        trained = set(map(id, self.pretrained_parameters()))
        for module in self.modules():
            module.training = any(id(p) in trained for p in module.parameters(recurse=False))

    def forward(self, batch: Batch, teacher: Output | None) -> tuple[Output, dict[str, Tensor]]:
        """The network's Output, and the unweighted terms that count: 'ce', with a teacher 'kd', the method's
        own.
        """
        output = outputs(self.network, batch)
        with full_precision(output.logits.device.type):
            terms = {"ce": self.label_loss(output.logits, batch.labels)}
            if teacher is not None and self.plan.weights.alpha:
                terms["kd"] = self.kd(output.logits, teacher.logits)
            if self.distiller is not None:
                terms |= named(self.distiller(output, teacher, batch))
        return output, terms

    def pretrain(self, batch: Batch, teacher: Output) -> tuple[Output, dict[str, Tensor]]:
        """The network's Output, and the terms of the method's first stage."""
        output = outputs(self.network, batch)
        with full_precision(output.logits.device.type):
            return output, dict(named(self.distiller.pretrain(output, teacher, batch)))

    def offline_sum(self, terms: dict[str, Tensor], kd_factor: Tensor | float = 1.0) -> Tensor:
        """gamma * CE + alpha * KD * kd_factor + beta * method, before normalisation and multiplier."""
        weights = self.plan.weights
        total = weights.gamma * terms["ce"]
        if "kd" in terms:
            total = total + weights.alpha * kd_factor * terms["kd"]
        if (method := method_sum(terms)) is not None:
            growing = self.distiller is not None and self.distiller.warm_up
            total = total + (weights.beta * self.grown if growing else weights.beta) * method
        return total

    def scale(self, extra: Tensor | float = 0.0) -> Tensor | float:
        """Factor of the summed loss: the multiplier, over the weights' sum (and `extra`) if normalised."""
        if not self.plan.normalise:
            return self.plan.multiplier
        return self.plan.multiplier / (sum(self.plan.weights) + extra)

    def offline(self, terms: dict[str, Tensor]) -> Tensor:
        """The student's offline loss (ModReduce: m_k * (CE + KD + beta * method) / (1 + 1 + beta))."""
        return self.scale() * self.offline_sum(terms)
