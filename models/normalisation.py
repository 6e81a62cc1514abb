"""Images normalised for a data set, as a network wants them that was trained with another mean and std."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Normalisation = tuple[Sequence[float], Sequence[float]]


class OwnNormalisation(nn.Module):
    """From images (B, 3, H, W) normalised with one mean and std to the same normalised with another.

    theirs: mean and std of each channel with which the images come; own: those with which they shall go on.
    """

    def __init__(self, theirs: Normalisation, own: Normalisation):
        super().__init__()
        (mean, std), (own_mean, own_std) = (torch.tensor(both, dtype=torch.float64) for both in (theirs, own))
        for name, value in (("scale", std / own_std), ("shift", (mean - own_mean) / own_std)):
            self.register_buffer(name, value.float().reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The images with the network's own normalisation."""
        return images * self.scale + self.shift


def own_normalisation(theirs: Normalisation, own: Normalisation | None) -> OwnNormalisation | None:
    """What a network with its own mean and std needs before it; None where it needs nothing."""
    if own is None or tuple(map(tuple, own)) == tuple(map(tuple, theirs)):
        return None
    return OwnNormalisation(theirs, own)
