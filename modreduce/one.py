"""The gate of ONE: the image decides whom to believe."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modreduce.fused import FusedEnsemble


class Gate(FusedEnsemble):
    """Weights per image: softmax(ReLU(linear(12 numbers))), the image average-pooled to 2 x 2 x 3.

    Lan, Zhu, Gong: "Knowledge Distillation by On-the-Fly Native Ensemble", 2018, section 3.2; in the form in
    which ModReduce uses it, on the input image.
    """

    name = "one"

    def __init__(self, count: int, num_classes: int, **flags: Any):
        super().__init__(count, num_classes, **flags)
        self.FC = nn.Linear(12, count)

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        pooled = F.adaptive_avg_pool2d(images.float(), 2).flatten(1)
        weights = torch.softmax(F.relu(self.FC(pooled)), dim=1)
        return torch.einsum("bn,nbc->bc", weights, logits), weights.mean(dim=0)
