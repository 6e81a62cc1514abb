"""What runs of version 0.1 left, in today's form, so that they go on."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from engine.task import Task

# the columns of the sums, and flags' defaults, which are now those that a method was published with
TERMS = ("loss", "correct", "ce", "kd", "method", "online")
DEFAULTS = {"gamma": 1.0, "alpha": 1.0, "kd_T": 4.0}


def is_former(settings: Mapping[str, Any]) -> bool:
    """Whether settings are of version 0.1, which kept all flags side by side."""
    return "recipe" not in settings


def without_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flags by name, None for those with what was their default: asked for or not, it meant the same."""
    return {name: None if DEFAULTS.get(name) == value else value for name, value in values.items()}


def state_of_today(state: Mapping[str, Any], task: Task, batch_size: int) -> dict[str, Any]:
    """A state that `Trainer.restore` reads, from one that may be of version 0.1.

    That had the sums of the batches' means as a tensor (students, terms), now they are weighted by images;
    and a random stream or None for each student, now there is one for each method.
    """
    sums, random = state["sums"], state["random"]
    if not isinstance(sums, Tensor):
        return dict(state)
    images = state["progress"]["step"] * batch_size  # a short batch is the last one, which ends an epoch
    sums = {"terms": list(TERMS), "images": images, "sums": sums * batch_size}
    pairs = zip(task.students, random["methods"], strict=True)
    methods = [stream for student, stream in pairs if student.distiller is not None]
    return {**state, "sums": sums, "random": {**random, "methods": methods}}
