"""What methods that compare the images of a batch share: all of it follows from their inner products."""

import torch
from torch import Tensor

from distiller_zoo.maps import precise


def products(x: Tensor, centred: bool = False) -> Tensor:
    """Inner products (B, B) of the images' values (B, ...) in float32.

    They do not depend on the order of the values, so that channels-last maps need no copy. centred: of the
    values less their mean over the batch, which leaves distances as they are and loses less of them to
    rounding.
    """
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    rows = precise(x).flatten(1)
    if centred:
        rows = rows - rows.mean(dim=0)
    return rows @ rows.T


def cosine_kernel(products: Tensor, epsilon: float) -> Tensor:
    """Similarities (B, B) from 0 to 1: half of one plus the cosine, epsilon being added to lengths.

    What is zero has a cosine of 0 with everything, and no gradient.
    """
    squares = products.diagonal()
    present = squares > 0
    lengths = torch.where(present, squares, 1.0).sqrt() + epsilon
    cosines = products / lengths[:, None] / lengths[None, :]
    return (torch.where(present[:, None] & present[None, :], cosines, 0.0) + 1) / 2


def squared_distances(products: Tensor) -> Tensor:
    """Squared Euclidean distances (B, B), from 0 up; the diagonal is exactly 0."""
    squares = products.diagonal()
    between = squares[:, None] + squares[None, :] - 2.0 * products
    diagonal = torch.eye(len(products), dtype=torch.bool, device=products.device)
    return torch.where(diagonal, 0.0, between.clamp(min=0.0))


def shares(kernel: Tensor) -> Tensor:
    """Each row of a positive kernel (B, B) divided by its sum."""
    return kernel / kernel.sum(dim=1, keepdim=True)
