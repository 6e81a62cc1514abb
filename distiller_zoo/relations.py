"""What methods that compare the images of a batch with each other share."""

import torch
from torch import Tensor

from distiller_zoo.maps import precise


def rows(x: Tensor) -> Tensor:
    """Each image's values as one float32 vector (B, D), in the order in which they lie in memory.

    Products and distances between images do not depend on that order, and channels-last maps need no copy.
    """
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    return precise(x).flatten(1)


def directions(x: Tensor, epsilon: float) -> Tensor:
    """Rows (B, D) divided by their length plus epsilon; a zero row stays zero and has no gradient."""
    squares = x.square().sum(dim=1, keepdim=True)
    present = squares > 0
    length = torch.where(present, squares, 1.0).sqrt()
    return torch.where(present, x / (length + epsilon), 0.0)


def cosine_kernel(x: Tensor, epsilon: float) -> Tensor:
    """Similarities (B, B) from 0 to 1 of rows (B, D): half of one plus the cosine."""
    found = directions(x, epsilon)
    return (found @ found.T + 1) / 2


def squared_distances(x: Tensor) -> Tensor:
    """Squared Euclidean distances (B, B) between rows (B, D), up to rounding; the diagonal is exactly zero.

    The rows are centred first: distances stay the same, and less of them is lost in the difference of
    squares.
    """
    x = x - x.mean(dim=0, keepdim=True)
    squares = x.square().sum(dim=1)
    between = squares[:, None] + squares[None, :] - 2.0 * (x @ x.T)
    return torch.where(torch.eye(len(x), dtype=torch.bool, device=x.device), 0.0, between)


def shares(kernel: Tensor) -> Tensor:
    """Each row of a positive kernel (B, B) divided by its sum."""
    return kernel / kernel.sum(dim=1, keepdim=True)
