"""Projection heads: from a network's embedding to the unit sphere on which both networks are compared."""

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """One linear layer from dim_in to dim_out, then unit length."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.linear = nn.Linear(dim_in, dim_out)

    def forward(self, features: Tensor) -> Tensor:
        """Unit vectors (B, dim_out) in float32 of features (B, dim_in)."""
        return F.normalize(self.linear(features.float().flatten(1)), dim=1)
