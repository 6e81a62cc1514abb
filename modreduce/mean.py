"""The plain average of the students' logits."""

import torch
from torch import Tensor

from helper.batch import Batch
from modreduce.fused import FusedEnsemble


class Mean(FusedEnsemble):
    """g = the mean of all z_k: every student counts the same, and the ensemble has nothing to learn."""

    name = "mean"

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        return logits.mean(dim=0), torch.full((self.count,), 1.0 / self.count, device=logits.device)

    def own_loss(self, batch: Batch) -> None:
        return None
