"""Further views of the images of a batch, made on the device from whole batches of pixels.

A view is one function and one line in `view_dict`. The loader cuts and mirrors the images for it, from a
random stream of its own, and normalises what it returns.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dataset import operations
from dataset.operations import FIXED_POINT

# From pixels (m, H, W, 3) uint8 of the images at these places in the epoch's order to pixels of that shape.
Augment = Callable[[Tensor, slice], Tensor]

OPERATIONS_PER_IMAGE = 2
CUTOUT_SHARE = 0.5  # of the width: the largest side of the square
CUTOUT_COLOUR = (125, 123, 114)


class Operation(NamedTuple):
    """One of the operations of the strong view.

    Its magnitude is uniform between two numbers; prepare: from magnitudes (m,) float64 and the size (H, W) to
    what apply takes beside the pixels, a row per image.
    """

    smallest: float
    largest: float
    prepare: Callable[[Tensor, tuple[int, int]], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


def _as_factors(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    return magnitudes.float()


def _as_masks(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    """With as many of the highest of eight bits set as the magnitude says, rounded down."""
    return (256 - 2 ** (8 - magnitudes.floor())).to(torch.uint8)


def _as_thresholds(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    return magnitudes.ceil().float()


def _rotation(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    """Counter-clockwise by degrees, around the centre."""
    angle = -torch.deg2rad(magnitudes)
    cos, sin = angle.cos(), angle.sin()
    y, x = size[0] / 2, size[1] / 2
    return _matrices(x - cos * x - sin * y, cos, sin, y + sin * x - cos * y, -sin, cos)


def _shear_x(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    return _matrices(0, 1, magnitudes, 0, 0, 1)


def _shear_y(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    return _matrices(0, 1, 0, 0, magnitudes, 1)


def _translation_x(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    return _matrices((magnitudes * size[1] + 0.5).floor(), 1, 0, 0, 0, 1)


def _translation_y(magnitudes: Tensor, size: tuple[int, int]) -> Tensor:
    return _matrices(0, 1, 0, (magnitudes * size[0] + 0.5).floor(), 0, 1)


def _matrices(*entries: Tensor | float) -> Tensor:
    """(m, 6) int32 for `operations.move`, of affine maps between positions: a pixel stands for its middle."""
    a, b, c, d, e, f = torch.broadcast_tensors(*(torch.as_tensor(x, dtype=torch.float64) for x in entries))
    matrices = torch.stack([a + b / 2 + c / 2, b, c, d + e / 2 + f / 2, e, f], dim=1)
    return (matrices * FIXED_POINT + 0.5).floor().int()


OPERATIONS = {
    "autocontrast": Operation(0, 1, _as_factors, operations.autocontrast),
    "brightness": Operation(0.05, 0.95, _as_factors, operations.brightness),
    "saturation": Operation(0.05, 0.95, _as_factors, operations.saturation),
    "contrast": Operation(0.05, 0.95, _as_factors, operations.contrast),
    "equalise": Operation(0, 1, _as_factors, operations.equalise),
    "identity": Operation(0, 1, _as_factors, operations.identity),
    "posterise": Operation(4, 8, _as_masks, operations.posterise),
    "rotate": Operation(-30, 30, _rotation, operations.move),
    "sharpness": Operation(0.05, 0.95, _as_factors, operations.sharpness),
    "shear_x": Operation(-0.3, 0.3, _shear_x, operations.move),
    "shear_y": Operation(-0.3, 0.3, _shear_y, operations.move),
    "solarise": Operation(0, 256, _as_thresholds, operations.solarise),
    "translate_x": Operation(-0.3, 0.3, _translation_x, operations.move),
    "translate_y": Operation(-0.3, 0.3, _translation_y, operations.move),
}


class Turn(NamedTuple):
    """The images of an epoch that one operation changes.

    places: growing numbers in the epoch's order; indices: the same on the device; parameters: what the
    operation takes.
    """

    places: Tensor
    indices: Tensor
    parameters: Tensor
    apply: Callable[[Tensor, Tensor], Tensor]


class Strong:
    """The strong view of MLKD: RandAugment, then a square painted over.

    Each image gets two operations, drawn from fourteen with replacement, each with a magnitude uniform in its
    range, then always a square with a side uniform between nothing and half the width. All is drawn for the
    whole epoch, on the CPU, so that a batch is the same from any step on and on every device.

    count: images of an epoch; size: (H, W). Call it with pixels (m, H, W, 3) uint8 of the images at places of
    the epoch's order.

    "RandAugment: Practical automated data augmentation with a reduced search space", Cubuk et al.,
    https://arxiv.org/abs/1909.13719; "Improved Regularization of Convolutional Neural Networks with Cutout",
    DeVries and Taylor, https://arxiv.org/abs/1708.04552. Ranges, colour and the way squares are drawn follow
    https://github.com/Jin-Ying/Multi-Level-Logit-Distillation.
    """

    def __init__(
        self, count: int, size: tuple[int, int], random: torch.Generator, device: torch.device | str
    ):
        kinds = torch.randint(len(OPERATIONS), (OPERATIONS_PER_IMAGE, count), generator=random)
        shares = torch.rand(OPERATIONS_PER_IMAGE, count, dtype=torch.float64, generator=random)
        self.rounds = [_turns(*drawn, size, device) for drawn in zip(kinds, shares, strict=True)]
        self.boxes = draw_squares(count, size, random).to(device)

    def __call__(self, pixels: Tensor, places: slice) -> Tensor:
        ends = torch.tensor([places.start, places.stop])
        for turns in self.rounds:
            parts = [slice(*torch.searchsorted(turn.places, ends).tolist()) for turn in turns]
            order = torch.cat([turn.indices[part] for turn, part in zip(turns, parts, strict=True)])
            order -= places.start
            sizes = [part.stop - part.start for part in parts]
            chosen = pixels.index_select(0, order).split(sizes)
            changed = [
                turn.apply(own, turn.parameters[part]) if len(own) else own
                for turn, own, part in zip(turns, chosen, parts, strict=True)
            ]
            pixels = torch.cat(changed).index_select(0, order.argsort())
        return operations.fill(pixels, self.boxes[places], CUTOUT_COLOUR)


def _turns(kinds: Tensor, shares: Tensor, size: tuple[int, int], device: torch.device | str) -> list[Turn]:
    """Who is changed by each operation; kinds (n,): its number; shares (n,): where in its range it is."""
    turns = []
    for number, operation in enumerate(OPERATIONS.values()):
        places = (kinds == number).nonzero()[:, 0]
        magnitudes = operation.smallest + (operation.largest - operation.smallest) * shares[places]
        parameters = operation.prepare(magnitudes, size)
        turns.append(Turn(places, places.to(device), parameters.to(device), operation.apply))
    return turns


def draw_squares(count: int, size: tuple[int, int], random: torch.Generator) -> Tensor:
    """(count, 4) int32: left, top, right and bottom of squares as the published code draws them.

    The side is uniform from 0 to CUTOUT_SHARE of the width, the centre uniform from 1 to the width and the
    height. Where a square would begin outside of the image it begins at its edge, as large as before.
    """
    height, width = size
    side, x, y = torch.rand(3, count, dtype=torch.float64, generator=random)
    side = side * CUTOUT_SHARE * width
    left, top = (
        ((length + (1 - length) * centre) - side / 2).clamp(min=0).floor()
        for length, centre in ((width, x), (height, y))
    )
    right, bottom = (left + side).clamp(max=width).floor(), (top + side).clamp(max=height).floor()
    return torch.stack([left, top, right, bottom], dim=1).int()


view_dict: dict[str, Callable[[int, tuple[int, int], torch.Generator, torch.device], Augment]] = {
    "strong": Strong,
}
