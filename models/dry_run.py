"""What a network's modules give for a few images: the modules' last calls, in the order in which they end."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from helper.errors import UserError, told_in_a_line
from helper.sizes import ImageSize, shown, sides, size_of

IMAGES = 2
LARGEST_TRIED = 512  # pixels of the shorter side, where a smaller picture did not fit
PREFIXES = (0, 1, 2, 4, 5)  # tokens that stand for no place: of classes, of distillation, registers
NCHW, NHWC, TOKENS = "nchw", "nhwc", "tokens:"


class Call(NamedTuple):
    """The last call of a module.

    kind: its class's name; value: what it gave, as it then was (later modules may change it in place);
    layout: of the map in it; side, channels: of that map, the longer of its sides; side_in: of the map that
    it was given, None if that was none.
    """

    path: str
    kind: str
    value: Tensor
    layout: str
    side: int
    channels: int
    side_in: int | None


class DryRun(NamedTuple):
    """What happened: the calls that gave maps, the logits, the path of the linear layer that gave these (None
    without one), and what that layer was given.
    """

    calls: list[Call]
    logits: Tensor
    classifier: str | None
    embedding: Tensor | None


def layouts_of(x: Any, batch: int, pictures: tuple[int, int] = (1, 1)) -> list[str]:
    """The layouts in which a value can be a map of each image, the likeliest first; none if it is no map.

    pictures: height and width of the images. Maps of squares are squares; those of others have the images'
    proportions, as nearly as whole places can.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim not in (3, 4) or len(x) != batch:
        return []
    square = pictures[0] == pictures[1]
    if x.ndim == 3:
        if square:
            return [f"{TOKENS}{p}" for p in PREFIXES if is_square(x.shape[1] - p)]
        grids = [(p, grid_of(x.shape[1] - p, pictures)) for p in PREFIXES]
        there = [(p, grid) for p, grid in grids if grid is not None]
        there.sort(key=lambda one: distortion(one[1], pictures))
        return [f"{TOKENS}{p}:{rows}x{columns}" for p, (rows, columns) in there]
    places = {NCHW: tuple(x.shape[2:]), NHWC: tuple(x.shape[1:3])}
    if square:
        return [layout for layout, (height, width) in places.items() if height == width]
    off = {layout: distortion(own, pictures) for layout, own in places.items() if is_scaled(own, pictures)}
    return sorted(off, key=off.__getitem__)


def is_square(number: int) -> bool:
    """Whether a number from 1 is that of the places of a square."""
    return number >= 1 and round(number**0.5) ** 2 == number


def grid_of(number: int, pictures: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of so many square patches of pictures (height, width), None if these have no such
    number.

    What is left at the edges may count as a patch or not. Of several the one of the nearest proportions.
    """
    height, width = pictures
    found = []
    for side in range(1, max(pictures) + 1):
        whole = height // side, width // side
        begun = -(-height // side), -(-width // side)
        found += [grid for grid in (whole, begun) if grid[0] * grid[1] == number > 0]
    return min(found, key=lambda grid: distortion(grid, pictures), default=None)


def is_scaled(places: tuple[int, int], pictures: tuple[int, int]) -> bool:
    """Whether a map (height, width) is what pictures (height, width) become, one place more or less."""
    (height, width), (of_height, of_width) = places, pictures
    off = abs(height * of_width - width * of_height)
    return 0 < height <= of_height and 0 < width <= of_width and off <= max(of_height, of_width)


def distortion(places: tuple[int, int], pictures: tuple[int, int]) -> float:
    """How far the proportions of a map are from those of the pictures: 0 if they are the same."""
    return abs(math.log(places[0] * pictures[1] / (places[1] * pictures[0])))


def as_map(x: Tensor, layout: str) -> Tensor:
    """A module's output as a map (B, C, H, W), a view."""
    if layout == NCHW:
        return x
    if layout == NHWC:
        return x.permute(0, 3, 1, 2)
    prefix, _, grid = layout.removeprefix(TOKENS).partition(":")
    places = x[:, int(prefix) :]
    side = round(places.shape[1] ** 0.5)
    return places.transpose(1, 2).unflatten(2, sides(grid) if grid else (side, side))


def sample(network: nn.Module, image_size: ImageSize) -> Tensor:
    """A few images (B, 3, H, W) of noise, always the same, where the network's weights are."""
    noise = torch.randn(IMAGES, 3, *sides(image_size), generator=torch.Generator().manual_seed(0))
    place = next(network.parameters(), noise)
    return noise.to(place.device, place.dtype)


@torch.no_grad()
def watch(
    network: nn.Module, images: Tensor, forward: Callable[[Tensor], Any]
) -> tuple[list[Call], Any, dict]:
    """The calls that gave maps while `forward` ran in eval mode, what it returned, and for each linear layer
    by path what it gave and was given.

    Modes of modules stay, and no hook does.
    """
    calls: dict[str, Call] = {}
    linear: dict[str, tuple[Tensor, Tensor]] = {}
    of_images = len(images), tuple(images.shape[2:])

    def hook_of(path: str) -> Callable:
        def hook(module: nn.Module, arguments: tuple, output: Any) -> None:
            given = next((a for a in arguments if isinstance(a, Tensor)), None)
            if isinstance(module, nn.Linear):
                linear[path] = (output, given)
            layouts = layouts_of(output, *of_images)
            if not layouts:
                return
            m = as_map(output, layouts[0])
            before = [] if given is None or given is images else layouts_of(given, *of_images)
            side_in = max(as_map(given, before[0]).shape[2:]) if before else None
            calls.pop(path, None)  # a module that is called again ends later
            calls[path] = Call(
                path, type(module).__name__, output.clone(), layouts[0], max(m.shape[2:]), m.shape[1], side_in
            )

        return hook

    handles = [
        module.register_forward_hook(hook_of(path)) for path, module in network.named_modules() if path
    ]
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        returned = forward(images)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return list(calls.values()), returned, linear


def dry_run(network: nn.Module, images: Tensor, name: str, num_classes: int | None = None) -> DryRun:
    """One forward pass of a few images; UserError if the network cannot take them, or gives no logits.

    For images that are too small the line says which size of their proportions is enough.
    """
    try:
        with told_in_a_line(f"{name} cannot take images of {shown(size_of(*images.shape[2:]))}"):
            calls, logits, linear = watch(network, images, network)
    except UserError as error:
        enough = smallest_that_fits(network, images)
        raise error if enough is None else UserError(f"{error}; {shown(enough)} is enough") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"{name} gives no logits (images, classes) but {found}: it is no classifier")
    if num_classes is not None and logits.shape[1] != num_classes:
        raise UserError(f"{name} gives {logits.shape[1]} logits for {num_classes} classes")
    last = [
        (path, given)
        for path, (output, given) in linear.items()
        if output.data_ptr() == logits.data_ptr() and output.shape == logits.shape
    ]
    classifier, embedding = last[-1] if last else (None, None)
    return DryRun(calls, logits, classifier, embedding)


@torch.no_grad()
def smallest_that_fits(network: nn.Module, images: Tensor) -> ImageSize | None:
    """The smallest size above that of the images, of their proportions, that the network takes; None if there
    is none.
    """
    height, width = images.shape[2:]
    shorter = min(height, width)

    def of(side: int) -> tuple[int, int]:
        return round(height * side / shorter), round(width * side / shorter)

    def fits(side: int) -> bool:
        try:
            watch(network, images.new_zeros(len(images), 3, *of(side)), network)
        except Exception:  # of anybody's code
            return False
        return True

    low, high = shorter, 2 * shorter
    while high <= LARGEST_TRIED and not fits(high):
        low, high = high, 2 * high
    if high > LARGEST_TRIED:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return size_of(*of(high))
