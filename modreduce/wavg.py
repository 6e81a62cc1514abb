"""The weighted average of ModReduce: one learned number per student."""

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from modreduce.fused import FusedEnsemble

RULES = ("softmax", "published")


class WeightedAverage(FusedEnsemble):
    """g = sum_k w_k z_k, with one learned number per student (ModReduce's own method).

    `softmax`: w = softmax(theta), theta from zero on, trained through the softmax. `published`, as
    ModReduce's code has it: theta starts at 1/N, rounded down to hundredths; each training step first
    overwrites it with its own softmax, which drags the weights to 1/N, and then takes it as w, whose gradient
    doesn't go through the softmax. What is evaluated is softmax(theta) under both.
    """

    name = "wavg"

    def __init__(
        self,
        count: int,
        num_classes: int,
        *,
        wavg_rule: Annotated[
            str, RULES, "wavg: weights through a softmax, or overwritten by it at every step"
        ] = "softmax",
        **flags: Any,
    ):
        super().__init__(count, num_classes, **flags)
        self.rule = wavg_rule
        start = math.floor(100 / count) / 100 if wavg_rule == "published" else 0.0
        self.theta = nn.Parameter(torch.full((count,), start))

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(self.theta, dim=0)
        if self.rule == "published" and self.training and torch.is_grad_enabled():
            with torch.no_grad():
                self.theta.copy_(weights)
            weights = self.theta
        return torch.einsum("n,nbc->bc", weights, logits), weights
