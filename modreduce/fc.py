"""A linear layer over all the students' logits."""

from typing import Any

import torch
from torch import Tensor, nn

from modreduce.fused import FusedEnsemble


class FullyConnected(FusedEnsemble):
    """g = linear(concatenated logits), N*C -> C (ModReduce's FC).

    A student's weight, for the plots, is the Frobenius norm of its block of the matrix as a share of all
    blocks'.
    """

    name = "fc"

    def __init__(self, count: int, num_classes: int, **flags: Any):
        super().__init__(count, num_classes, **flags)
        self.FC = nn.Linear(count * num_classes, num_classes)

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        fused = self.FC(torch.cat(list(logits), dim=1))
        norms = torch.stack([block.norm() for block in self.FC.weight.chunk(self.count, dim=1)])
        return fused, norms / norms.sum()
