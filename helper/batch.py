"""The two shapes of data that every room of the project agrees on."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    indices: Tensor
    views: Mapping[str, Tensor] = {}


class Output(NamedTuple):
    stem: Tensor
    maps: list[Tensor]
    preact: list[Tensor]
    embedding: Tensor
    logits: Tensor
    views: Mapping[str, "Output"] = {}

    @property
    def features(self) -> list[Tensor]:
        return [self.stem, *self.maps, self.embedding]

    def detach(self) -> "Output":
        return Output(
            self.stem.detach(),
            [m.detach() for m in self.maps],
            [m.detach() for m in self.preact],
            self.embedding.detach(),
            self.logits.detach(),
            {name: view.detach() for name, view in self.views.items()},
        )
