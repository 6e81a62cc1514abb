"""Whether a method can serve networks of other code, found out before anything is written.

Networks of models/ have all that a method can ask for, and methods say themselves what they refuse. Those of
other code may lack maps, or have maps of sizes that no method was written for.
"""

import copy
from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from torch import nn

from distiller_zoo.base import Distiller, Example
from helper.batch import Batch, Output
from helper.device import full_precision
from helper.errors import UserError, told_in_a_line
from helper.randomness import random_states
from helper.sizes import ImageSize, sides
from models.tapped import Tapped
from modreduce.teacher import Teacher, outputs


class Lacking(list):
    """Stands in an Output for maps that there are none of: whoever reads them is told."""

    def __init__(self, reason: str):
        super().__init__()
        self.reason = reason

    def _refuse(self, *_: Any) -> NoReturn:
        raise UserError(self.reason)

    def __iter__(self) -> Iterator:
        self._refuse()

    __getitem__ = __len__ = __bool__ = __reversed__ = _refuse


def with_reasons(output: Output, network: nn.Module, method: str, flag: str) -> Output:
    """The Output of a network, where what it lacks says so; flag: with which its maps could be named."""
    if not isinstance(network, Tapped):
        return output
    name = network.name
    no_maps = (
        f"{method} reads maps, and no module was found that gives those of {name}: name some with {flag}"
    )
    return output._replace(
        maps=output.maps or Lacking(no_maps),
        views={k: with_reasons(view, network, method, flag) for k, view in output.views.items()},
    )


def make_distiller(
    kind: type[Distiller], method: str, example: Example, teacher: Teacher, options: dict[str, Any]
) -> Distiller:
    """The method for an example; for networks of other code it is tried on a batch first.

    Raises UserError, with the reason, if it cannot serve them.
    """
    networks = (example.student_network, example.teacher_network)
    if not any(isinstance(network, Tapped) for network in networks):
        return kind(example, **options)
    pair = f"{example.student_model} with the teacher {example.teacher_model}"
    advice = "name other maps with --taps_s or --taps_t, or choose another method"
    with told_in_a_line(f"{method} cannot serve {pair}", advice):  # its loss was not written for such maps
        distiller = kind(example, **options)
        try_on_a_batch(copy.deepcopy(distiller), method, example, teacher)
    return distiller


@torch.no_grad()
def try_on_a_batch(distiller: Distiller, method: str, example: Example, teacher: Teacher) -> None:
    """The loss of a batch of noise, by a method that is thrown away; raises what goes wrong."""
    student = copy.deepcopy(example.student_network).train()
    size, device = student.image_size if isinstance(student, Tapped) else None, example.labels.device
    size = size or example.teacher_network.image_size
    count = min(example.batch_size, len(example.labels))
    noise = torch.randn(count, 3, *sides(size), generator=torch.Generator().manual_seed(0)).to(device)
    views = dict.fromkeys(distiller.views, noise)
    batch = Batch(noise, example.labels[:count], torch.arange(count, device=device), views)
    seen_s = with_reasons(outputs(student, batch), student, method, "--taps_s")
    seen_t = with_reasons(teacher(batch), teacher.network, method, "--taps_t")
    with full_precision(device.type):
        distiller = distiller.to(device).train()
        if distiller.pretraining:
            distiller.pretrain(seen_s, seen_t, batch)
        distiller(seen_s, seen_t, batch)


@torch.no_grad()
def check_training(
    network: nn.Module, name: str, image_size: ImageSize, images: int, batch_size: int, fixed_batch: bool
) -> None:
    """Raise UserError unless a network gives logits in training mode too, whatever the size of the run's
    batches: of other code any, of models/ a single image, whose maps may be too small for batch norms.
    """
    last = 0 if fixed_batch else images % batch_size
    counts = {min(batch_size, 2), min(last, 2)} - {0}
    if not isinstance(network, Tapped):
        counts &= {1}
    if not counts:
        return
    place = next(network.parameters())
    tried = copy.deepcopy(network).train()
    for count in counts:
        noise = torch.randn(count, 3, *sides(image_size)).to(place.device, place.dtype)
        batches = f"a batch of {count} ({images} images in batches of {batch_size})"
        advice = "choose another --batch_size or network"
        with told_in_a_line(f"{name} cannot be trained on {batches}", advice):
            logits = tried(noise)
        if not isinstance(logits, torch.Tensor):
            raise UserError(
                f"{name} gives a {type(logits).__name__} in training, as networks with further heads "
                "do, and no logits (images, classes): turn these off in a FILE.py:FUNCTION"
            )


@torch.no_grad()
def refuse_draws(network: nn.Module, name: str, image_size: ImageSize) -> None:
    """Raise UserError if a network draws random numbers in training, as dropout does.

    One process draws them for all students in turn, from one stream, which ranks cannot follow.
    """
    place = next(network.parameters())
    tried = copy.deepcopy(network).train()
    noise = torch.zeros(2, 3, *sides(image_size), device=place.device, dtype=place.dtype)
    before = random_states(place.device, [])
    tried(noise)
    after = random_states(place.device, [])
    if any(before[kind] is not None and not before[kind].equal(after[kind]) for kind in ("cpu", "cuda")):
        raise UserError(
            f"{name} draws random numbers in training, as dropout and stochastic depth do, which ranks "
            "cannot draw as one process would: start without torchrun, or turn these off in a "
            "FILE.py:FUNCTION"
        )
