"""Further views of a batch, made on the device from whole batches of pixels."""

from collections.abc import Callable

import torch
from torch import Tensor

# From uint8 pixels (m, H, W, 3) of the images at these places in an epoch's order to pixels of that shape.
Augment = Callable[[Tensor, slice], Tensor]

# name: function(number of images, (H, W), random stream, device) -> Augment; it draws for all images at once
view_dict: dict[str, Callable[[int, tuple[int, int], torch.Generator, torch.device], Augment]] = {}
