"""Changes of pixels for whole batches on the device, to the bit those of Pillow for a single image.

(On x86; where a compiler joins product and sum, Pillow itself may say one more or less.) Every function takes
pixels (m, H, W, 3) uint8 and returns as many; what differs from image to image comes in a tensor whose first
dimension is m.
"""

import torch
from torch import Tensor

FIXED_POINT = 1 << 16  # Pillow counts source positions in 65536ths of a pixel


def autocontrast(pixels: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its lightest 255."""
    low = pixels.flatten(1, 2).amin(dim=1).double()
    high = pixels.flatten(1, 2).amax(dim=1).double()
    scale = torch.full_like(high, 255) / (high - low)  # a plain 255 / would be a product with the reciprocal
    values = torch.arange(256, dtype=torch.float64, device=pixels.device)[:, None]
    table = (values * scale[:, None] - (low * scale)[:, None]).clamp(0, 255)
    return _look_up(table.where((high > low)[:, None], values), pixels)


def brightness(pixels: Tensor, factors: Tensor) -> Tensor:
    """Mix with black; factors (m,) float32 from 0 (black) to 1 (the image)."""
    return (pixels * factors[:, None, None, None]).to(torch.uint8)


def saturation(pixels: Tensor, factors: Tensor) -> Tensor:
    """Mix with the grey image; factors (m,) float32 from 0 (grey) to 1 (the image)."""
    return _blend(_grey(pixels), pixels, factors)


def contrast(pixels: Tensor, factors: Tensor) -> Tensor:
    """Mix with the mean of the grey image; factors (m,) float32 from 0 (one grey) to 1 (the image)."""
    count = pixels.shape[1] * pixels.shape[2]
    total = _grey(pixels).sum(dim=(1, 2), keepdim=True)
    mean = (2 * total + count).div(2 * count, rounding_mode="floor")
    return _blend(mean, pixels, factors)


def sharpness(pixels: Tensor, factors: Tensor) -> Tensor:
    """Mix with the smoothed image; factors (m,) float32 from 0 (smooth within) to 1 (the image)."""
    inner = pixels[:, 1:-1, 1:-1]
    rows = pixels[:, :-2].float() + pixels[:, 1:-1] + pixels[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * inner.float()
    smooth = pixels.float()
    smooth[:, 1:-1, 1:-1] = (total / 13 + 0.5).floor()
    return _blend(smooth, pixels, factors)


def equalise(pixels: Tensor, _: Tensor) -> Tensor:
    """Spread the values of each channel so that all become about equally frequent."""
    places = _places(pixels)
    counts = torch.zeros(len(pixels) * 256 * 3, dtype=torch.int32, device=pixels.device)
    counts = counts.scatter_add_(0, places, torch.ones_like(places, dtype=torch.int32)).view(-1, 256, 3)
    lightest = pixels.flatten(1, 2).amax(dim=1, keepdim=True)
    size = pixels.shape[1] * pixels.shape[2]
    step = (size - counts.gather(1, lightest.long())).div(255, rounding_mode="floor")
    darker = counts.cumsum(dim=1) - counts
    table = (darker + step.div(2, rounding_mode="floor")).div(step.clamp(min=1), rounding_mode="floor")
    values = torch.arange(256, device=pixels.device)[:, None]
    return _look_up(table.clamp(max=255).where(step > 0, values), pixels)


def identity(pixels: Tensor, _: Tensor) -> Tensor:
    """Nothing."""
    return pixels


def posterise(pixels: Tensor, masks: Tensor) -> Tensor:
    """Keep the highest bits of each value; masks (m,) uint8 have these bits set."""
    return pixels & masks[:, None, None, None]


def solarise(pixels: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values from a threshold on; thresholds (m,) float32, whole numbers from 0 to 256."""
    return torch.where(pixels < thresholds[:, None, None, None], pixels, 255 - pixels)


def move(pixels: Tensor, matrices: Tensor) -> Tensor:
    """Take each pixel from where an affine map says, black from outside the image; no interpolation.

    matrices: (m, 6) int32; the pixel in row y and column x comes from column (a + b x + c y) / 65536 and row
    (d + e x + f y) / 65536, rounded down, for a matrix (a, b, c, d, e, f).
    """
    _, height, width, _ = pixels.shape
    y = torch.arange(height, dtype=torch.int32, device=pixels.device)[:, None]
    x = torch.arange(width, dtype=torch.int32, device=pixels.device)
    a, b, c, d, e, f = matrices[:, :, None, None].unbind(1)
    column, row = (a + b * x + c * y) >> 16, (d + e * x + f * y) >> 16
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    image = torch.arange(len(pixels), dtype=torch.int32, device=pixels.device)[:, None, None]
    # One gather of whole pixels, the last of which is black, is four times as fast as one of single values.
    source = ((image * height + row) * width + column).where(inside, len(pixels) * height * width)
    with_black = torch.cat([pixels.flatten(0, 2), pixels.new_zeros(1, 3)])
    return with_black.index_select(0, source.flatten()).view_as(pixels)


def fill(pixels: Tensor, boxes: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """Paint a box in one colour, in place; boxes (m, 4): left, top, right and bottom, all four inclusive."""
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    y = torch.arange(pixels.shape[1], device=pixels.device)
    x = torch.arange(pixels.shape[2], device=pixels.device)
    rows, columns = (y >= top) & (y <= bottom), (x >= left) & (x <= right)
    inside = rows[:, :, None] & columns[:, None]
    for channel, value in enumerate(colour):
        pixels[..., channel].masked_fill_(inside, value)
    return pixels


def _grey(pixels: Tensor) -> Tensor:
    """(m, H, W, 1) int32: the luminance of ITU-R 601-2, as Pillow rounds it."""
    red, green, blue = pixels.int().split(1, dim=3)
    return (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16


def _blend(far: Tensor, pixels: Tensor, factors: Tensor) -> Tensor:
    far = far.float()
    return (far + factors[:, None, None, None] * (pixels - far)).to(torch.uint8)


def _look_up(table: Tensor, pixels: Tensor) -> Tensor:
    """What a table (m, 256, 3) says of each value of each channel."""
    return table.to(torch.uint8).flatten().index_select(0, _places(pixels)).view_as(pixels)


def _places(pixels: Tensor) -> Tensor:
    """Where each value of each channel stands in a flat table (m, 256, 3)."""
    values = pixels.flatten(1)
    channel = torch.arange(3, device=pixels.device).repeat(values.shape[1] // 3)
    image = torch.arange(0, len(pixels) * 256 * 3, 256 * 3, device=pixels.device)[:, None]
    return (values.long() * 3 + channel + image).flatten()
