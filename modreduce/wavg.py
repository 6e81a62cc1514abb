"""The weighted average of ModReduce: one learned number per student."""

from typing import Any

import torch
from torch import Tensor, nn

from modreduce.fused import FusedEnsemble


class WeightedAverage(FusedEnsemble):
    """g = sum_k w_k z_k with w = softmax(theta), theta learned (ModReduce's own method).

    theta starts at zero, an equal weight for each student. The published code overwrites its parameter with
    its own softmax at every step, which drags the weights to 1/N; here the gradient goes through the softmax.
    """

    name = "wavg"

    def __init__(self, count: int, num_classes: int, **flags: Any):
        super().__init__(count, num_classes, **flags)
        self.theta = nn.Parameter(torch.zeros(count))

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(self.theta, dim=0)
        return torch.einsum("n,nbc->bc", weights, logits), weights
