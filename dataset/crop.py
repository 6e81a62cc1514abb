"""Random resized crops of whole batches on the device: two batched products with antialiasing weights."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from helper.device import full_precision

AREA, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # torchvision's, and since Inception the field's


def draw(
    count: int,
    sides: Sequence[int],
    random: torch.Generator,
    area: tuple[float, float] = AREA,
    ratio: tuple[float, float] = RATIO,
) -> Tensor:
    """Windows (count, 4) int64 in pictures of these sides (height, width): top, left, height, width.

    Distributed as those of torchvision's RandomResizedCrop: the first of ten tries that fits, else the
    largest middle window of an allowed ratio. area: share of the picture's; ratio: of width to height.
    """
    height, width = sides
    shares = torch.empty(count, TRIES, dtype=torch.float64).uniform_(*area, generator=random)
    logs = torch.empty(count, TRIES, dtype=torch.float64)
    ratios = logs.uniform_(*map(math.log, ratio), generator=random).exp_()
    areas = shares * (height * width)
    heights, widths = (areas / ratios).sqrt_().round_(), (areas * ratios).sqrt_().round_()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.int().argmax(dim=1, keepdim=True)
    lengths = torch.cat([heights.gather(1, first), widths.gather(1, first)], dim=1)
    none = ~fits.any(dim=1)
    lengths[none] = torch.tensor(_largest(height, width, ratio), dtype=torch.float64)
    rest = torch.tensor([height, width]) - lengths
    starts = (torch.rand(count, 2, dtype=torch.float64, generator=random) * (rest + 1)).floor_()
    starts[none] = (rest[none] / 2).floor_()
    return torch.cat([starts, lengths], dim=1).long()


def _largest(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest window whose ratio is allowed."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def resized_crop(pixels: Tensor, windows: Tensor, flips: Tensor, sides: Sequence[int]) -> Tensor:
    """The windows of pictures, scaled to these sides and mirrored where asked: (B, h, w, 3) float32, 0..255.

    pixels: (B, H, W, 3) uint8; windows: (B, 4) as `draw` gives them; flips: (B,) bool; all on one device.
    As torchvision's resized_crop(antialias=True) of float pictures. Nothing waits for the device.
    """
    top, left, height, width = windows.float().unbind(1)
    down = _weights(top, height, torch.zeros_like(flips), sides[0], pixels.shape[1])
    across = _weights(left, width, flips, sides[1], pixels.shape[2])
    with full_precision(pixels.device.type):
        rows = torch.bmm(down, pixels.float().flatten(2)).unflatten(2, pixels.shape[2:])
        columns = torch.bmm(across, rows.transpose(1, 2).flatten(2))
    return columns.unflatten(2, (sides[0], 3)).transpose(1, 2)


def _weights(start: Tensor, length: Tensor, flips: Tensor, count: int, size: int) -> Tensor:
    """(B, count, size): how much of each of `size` pixels is in each of `count` that show a window.

    A triangle as wide as the window is reduced, cut off where the window ends. start, length: (B,) pixels.
    """
    scale = (length / count)[:, None]
    centres = (torch.arange(count, device=start.device) + 0.5) * scale
    centres = torch.where(flips[:, None], length[:, None] - centres, centres)
    places = torch.arange(size, device=start.device) + 0.5 - start[:, None]
    distances = (places[:, None] - centres[..., None]).abs()
    inside = (places > 0) & (places < length[:, None])
    weights = (1 - distances / scale.clamp(min=1)[..., None]).clamp_(min=0) * inside[:, None]
    return weights / weights.sum(dim=2, keepdim=True)
