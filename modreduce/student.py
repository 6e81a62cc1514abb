"""A student: a network, what it learns from the teacher, and how much each kind of knowledge counts."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo import Distiller, DistillKL
from helper.batch import Batch, Output
from helper.device import full_precision


class LossWeights(NamedTuple):
    """What each part of the offline loss counts: gamma * CE + alpha * KD + beta * method (RepDistiller's
    letters).
    """

    gamma: float = 1.0
    alpha: float = 1.0
    beta: float = 0.0


class Student(nn.Module):
    """A network that learns from labels, from a teacher's logits, and by one method of `distiller_zoo`.

    multiplier: factor of the whole offline loss; with `normalise` the loss is divided by gamma + alpha + beta
    first (ModReduce), without it is the plain sum (RepDistiller, SemCKD).
    """

    def __init__(
        self,
        name: str,
        model_name: str,
        network: nn.Module,
        distiller: Distiller | None,
        method: str | None,
        weights: LossWeights,
        temperature: float = 4.0,
        multiplier: float = 1.0,
        normalise: bool = True,
    ):
        super().__init__()
        self.name, self.model_name, self.method = name, model_name, method
        self.network = network
        self.distiller = distiller
        self.weights = weights
        self.kd = DistillKL(temperature)
        self.multiplier = multiplier
        self.normalise = normalise

    def forward(self, batch: Batch, teacher: Output | None) -> tuple[Output, dict[str, Tensor]]:
        """The network's Output, and the unweighted loss terms that count: 'ce', and with a teacher 'kd',
        'method'.
        """
        features, logits = self.network(batch.images, is_feat=True)
        output = Output(features, logits.float())
        with full_precision(logits.device.type):
            terms = {"ce": F.cross_entropy(output.logits, batch.labels)}
            if teacher is not None and self.weights.alpha:
                terms["kd"] = self.kd(output.logits, teacher.logits)
        if self.distiller is not None:
            terms["method"] = self.distiller(output, teacher, batch)
        return output, terms

    def offline_sum(self, terms: dict[str, Tensor], kd_factor: Tensor | float = 1.0) -> Tensor:
        """gamma * CE + alpha * KD * kd_factor + beta * method, before normalisation and multiplier."""
        total = self.weights.gamma * terms["ce"]
        if "kd" in terms:
            total = total + self.weights.alpha * kd_factor * terms["kd"]
        if "method" in terms:
            total = total + self.weights.beta * terms["method"]
        return total

    def scale(self, extra: Tensor | float = 0.0) -> Tensor | float:
        """Factor of the summed loss: the multiplier, over the weights' sum (and `extra`) if normalised."""
        return self.multiplier / (sum(self.weights) + extra) if self.normalise else self.multiplier

    def offline(self, terms: dict[str, Tensor]) -> Tensor:
        """The student's offline loss (ModReduce: m_k * (CE + KD + beta * method) / (1 + 1 + beta))."""
        return self.scale() * self.offline_sum(terms)
