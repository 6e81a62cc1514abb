"""The two shapes of data that every room of the project agrees on."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A mini-batch on the training device.

    images: (B, 3, H, W) float, normalised; labels: (B,) int64; indices: (B,) int64 into the training set.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


class Output(NamedTuple):
    """What a network says of a batch.

    features: maps (B, C, H, W) after the stem and each stage, and the pooled embedding (B, D) last; logits:
    (B, C).
    """

    features: list[Tensor]
    logits: Tensor

    def detach(self) -> "Output":
        """The same values, cut off from the graph of gradients."""
        return Output([f.detach() for f in self.features], self.logits.detach())
