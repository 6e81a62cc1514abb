"""What methods on maps share: precision, sizes, unit vectors, and which weights make a network's maps."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helper.sizes import ImageSize, sides
from models.common import pooled

SMALLEST_NORM = 1e-12


def precise(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64: losses are not computed in half precision."""
    return x if x.dtype == torch.float64 else x.float()


def same_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (B, C, H, W) in float32, the larger one averaged down to the other's height and width."""
    size = min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3])
    return pooled(precise(first), size), pooled(precise(second), size)


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """Vectors along `dim` divided by their length; those shorter than 1e-12 by that: zero stays zero."""
    return F.normalize(x, dim=dim, eps=SMALLEST_NORM)


def map_parameters(network: nn.Module, image_size: ImageSize | None = None) -> list[nn.Parameter]:
    """The weights that a network's stage maps depend on: stem and stages, not what stands behind the last
    map.

    Found by one backward pass on an empty image of that size (None: the network's own, or 32), so that no
    list of modules per family is needed; modes, running statistics and gradients stay as they are.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    image_size = image_size or getattr(network, "image_size", 32)
    images = torch.zeros(1, 3, *sides(image_size), device=parameters[0].device)
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.enable_grad():
            total = sum(m.float().sum() for m in network.outputs(images).maps)
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    finally:
        for module, mode in training.items():
            module.training = mode
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
