"""What a network's modules give for a few images: the modules' last calls, in the order in which they end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from helper.errors import UserError, told_in_a_line

IMAGES = 2
PREFIXES = (0, 1, 2, 4, 5)  # tokens that stand for no place: of classes, of distillation, registers
NCHW, NHWC, TOKENS = "nchw", "nhwc", "tokens:"


class Call(NamedTuple):
    """The last call of a module.

    kind: its class's name; value: what it gave, as it then was (later modules may change it in place);
    layout: of the map in it; side, channels: of that map; side_in: of the map that it was given, None if
    that was none.
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


def layouts_of(x: Any, batch: int) -> list[str]:
    """The layouts in which a value can be a square map of each image, the likeliest first; none if it is no
    map.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim not in (3, 4) or len(x) != batch:
        return []
    if x.ndim == 3:
        return [f"{TOKENS}{p}" for p in PREFIXES if is_square(x.shape[1] - p)]
    return [NCHW] * (x.shape[2] == x.shape[3]) + [NHWC] * (x.shape[1] == x.shape[2])


def is_square(number: int) -> bool:
    """Whether a number from 1 is that of the places of a square."""
    return number >= 1 and round(number**0.5) ** 2 == number


def as_map(x: Tensor, layout: str) -> Tensor:
    """A module's output as a map (B, C, H, W), a view."""
    if layout == NCHW:
        return x
    if layout == NHWC:
        return x.permute(0, 3, 1, 2)
    places = x[:, int(layout.removeprefix(TOKENS)) :]
    side = round(places.shape[1] ** 0.5)
    return places.transpose(1, 2).unflatten(2, (side, side))


def sample(network: nn.Module, image_size: int) -> Tensor:
    """A few images (B, 3, H, W) of noise, always the same, where the network's weights are."""
    noise = torch.randn(IMAGES, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
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

    def hook_of(path: str) -> Callable:
        def hook(module: nn.Module, arguments: tuple, output: Any) -> None:
            given = next((a for a in arguments if isinstance(a, Tensor)), None)
            if isinstance(module, nn.Linear):
                linear[path] = (output, given)
            layouts = layouts_of(output, len(images))
            if not layouts:
                return
            m = as_map(output, layouts[0])
            before = [] if given is None or given is images else layouts_of(given, len(images))
            side_in = as_map(given, before[0]).shape[-1] if before else None
            calls.pop(path, None)  # a module that is called again ends later
            calls[path] = Call(
                path, type(module).__name__, output.clone(), layouts[0], m.shape[-1], m.shape[1], side_in
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
    """One forward pass of a few images; UserError if the network cannot take them, or gives no logits."""
    size = f"{images.shape[-1]} x {images.shape[-1]}"
    with told_in_a_line(f"{name} cannot take images of {size}"):
        calls, logits, linear = watch(network, images, network)
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
