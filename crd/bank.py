"""Banks of embeddings: what a network said of every training image when it last saw it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helper.randomness import generator


class Bank(nn.Module):
    """n_data unit vectors (n_data, D) in float32, and a copy in bfloat16 for products in low precision.

    Starts uniform in +-1/sqrt(D/3), a function of the seed; momentum: share of the old vector in an update.
    The copy is no state of its own: each row is always the rounded row of `vectors`, also after
    `load_state_dict`.
    """

    def __init__(self, n_data: int, dim: int, momentum: float, seed: int):
        super().__init__()
        self.momentum = momentum
        bound = 1.0 / math.sqrt(dim / 3)
        start = torch.rand(n_data, dim, generator=generator("cpu", seed)) * 2 * bound - bound
        self.register_buffer("vectors", start)
        self.register_buffer("rounded", None, persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module.round())

    def round(self) -> None:
        """Bring the bfloat16 copy, if there is one, up to date with all vectors."""
        if self.rounded is not None:
            self.rounded.copy_(self.vectors)

    def rows(self, low_precision: bool) -> Tensor:
        """The vectors (n_data, D) in the precision in which products with them are taken."""
        if not low_precision:
            return self.vectors
        if self.rounded is None:
            self.rounded = self.vectors.bfloat16()
        return self.rounded

    @torch.no_grad()
    def update(self, indices: Tensor, embeddings: Tensor) -> None:
        """Rows (B,), all different, become the unit vectors of momentum * old + (1 - momentum) * new, for
        embeddings (B, D).
        """
        mixed = self.momentum * self.vectors[indices] + (1.0 - self.momentum) * embeddings
        vectors = F.normalize(mixed, dim=1)
        self.vectors.index_copy_(0, indices, vectors)
        if self.rounded is not None:
            self.rounded.index_copy_(0, indices, vectors.bfloat16())
