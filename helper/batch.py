"""The two shapes of data that every room of the project agrees on."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor

UNLABELLED = -1  # the label of an image without one
NO_VIEWS: Mapping = MappingProxyType({})


class Batch(NamedTuple):
    """A mini-batch on the training device.

    images: (B, 3, H, W) float, normalised; labels: (B,) int64, UNLABELLED for an image without one; indices:
    (B,) int64 into the training set; views: further views (B, 3, H, W) of the same images, by name.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    views: Mapping[str, Tensor] = NO_VIEWS

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with the function applied to each of its tensors."""
        views = {name: function(view) for name, view in self.views.items()}
        return Batch(function(self.images), function(self.labels), function(self.indices), views)

    def tensors(self) -> list[Tensor]:
        """Its tensors, always in the same order."""
        return [self.images, self.labels, self.indices, *self.views.values()]


class Output(NamedTuple):
    """What a network says of a batch.

    stem: the map (B, C, H, W) after the stem; maps: those of the stages, after their last ReLU;
    preact: the same before it; embedding: (B, D), pooled; logits: (B, C); views: the Outputs for
    the batch's further views; averaged: the map (B, D, H, W) whose average over places is the embedding, None
    where there is none.
    """

    stem: Tensor
    maps: list[Tensor]
    preact: list[Tensor]
    embedding: Tensor
    logits: Tensor
    views: Mapping[str, "Output"] = NO_VIEWS
    averaged: Tensor | None = None

    @property
    def features(self) -> list[Tensor]:
        """The list that the published networks return: stem, stages, embedding."""
        return self.published()[0]

    def published(self, preact: bool = False) -> tuple[list[Tensor], Tensor]:
        """(features, logits), as the published networks return them; with `preact` maps before the ReLU."""
        return [self.stem, *(self.preact if preact else self.maps), self.embedding], self.logits

    def detach(self) -> "Output":
        """The same values, cut off from the graph of gradients."""
        return Output(
            self.stem.detach(),
            [m.detach() for m in self.maps],
            [m.detach() for m in self.preact],
            self.embedding.detach(),
            self.logits.detach(),
            {name: view.detach() for name, view in self.views.items()},
            None if self.averaged is None else self.averaged.detach(),
        )
