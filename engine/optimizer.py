"""The published recipe as settings, and the optimizer that follows it."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dot import DOT
from engine.task import Task
from helper.arguments import (
    epoch_list,
    fraction,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
)
from helper.checkpoint import copied
from helper.distributed import Ranks
from helper.errors import UserError
from helper.recipe import published_decay, published_rate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long, how fast and from which seed a run trains; the defaults are the published recipe."""

    epochs: Annotated[int, positive_int, "of training"] = 240
    learning_rate: Annotated[
        float | None,
        positive_float,
        "default 0.05, and 0.01 for MobileNetV2, ShuffleV1, ShuffleV2; for adamw 0.001",
    ] = None
    lr_decay_epochs: Annotated[
        list[int] | None,
        epoch_list,
        "epochs after which the rate is decayed (default 150,180,210 of 240, in proportion)",
        {"metavar": "E,E,..."},
    ] = None
    lr_decay_rate: Annotated[float, positive_float, "factor of a decay"] = 0.1
    schedule: Annotated[
        str,
        ("step", "cosine"),
        "step: decayed as the two above say; cosine: in epoch e (from 0) of E the rate times "
        "(1 + cos(pi (e - N) / (E - N))) / 2, where N is --warmup_epochs",
    ] = "step"
    warmup_epochs: Annotated[
        int,
        non_negative_int,
        "the first N epochs (e from 0) run at (e + 1) / N of the rate that they would have; not those of a "
        "method's first stage, and not the ensemble's",
        {"metavar": "N"},
    ] = 0
    weight_decay: Annotated[
        float, non_negative_float, "on all that is trained; adamw: not on norms and biases, and often 0.05"
    ] = 5e-4
    momentum: Annotated[float, fraction, "of SGD"] = 0.9
    optimizer: Annotated[
        str,
        ("sgd", "dot", "adamw"),
        "sgd; dot: SGD with a momentum of its own for distillation; adamw: as transformers need it",
    ] = "sgd"
    dot_delta: Annotated[
        float, fraction, "dot: what distillation's momentum has more, and the task's has less"
    ] = 0.075
    clip_grad: Annotated[
        float,
        non_negative_float,
        "clip each student's gradient to this norm (default 0: off)",
        {"metavar": "NORM"},
    ] = 0.0
    class_weights: Annotated[
        str,
        ("none", "balanced"),
        "balanced: in a student's own cross-entropy an image of class c counts n / (C n_c), for n_c of n "
        "training images in C classes; an ensemble's and a method's own losses stay as they are",
    ] = "none"
    ema: Annotated[
        float,
        fraction,
        "keep an exponential moving average of each student's weights beside them, with a decay of "
        "min(DECAY, (1 + t) / (10 + t)) at step t (default 0: off; usual 0.999 to 0.9999)",
        {"metavar": "DECAY"},
    ] = 0.0
    init_epochs: Annotated[
        int | None,
        non_negative_int,
        "length of a method's own first stage (default the method's: 30 for fsp, ab, ft)",
        {"metavar": "EPOCHS"},
    ] = None
    seed: Annotated[int, non_negative_int, "of everything that is random"] = 1

    def __post_init__(self):
        slow, fast = self.momentum - self.dot_delta, self.momentum + self.dot_delta
        if self.optimizer == "dot" and not 0 <= slow <= fast < 1:
            raise UserError(
                f"--momentum {self.momentum} with --dot_delta {self.dot_delta}: allowed are a momentum - "
                "delta from 0 and a momentum + delta below 1 (published: 0.9 and 0.075)"
            )
        if self.schedule == "cosine" and self.lr_decay_epochs is not None:
            raise UserError(
                "--lr_decay_epochs says nothing with --schedule cosine: leave one of both out (the cosine "
                "goes to 0 over --epochs)"
            )
        if self.warmup_epochs >= self.epochs:
            raise UserError(
                f"--warmup_epochs {self.warmup_epochs} takes up all {self.epochs} epochs of --epochs: "
                f"allowed are 0 to {self.epochs - 1}"
            )

    def rate_of(self, model: str) -> float:
        """--learning_rate, or the recipe's for that network."""
        if self.learning_rate is None:
            return published_rate(model, self.optimizer)
        return self.learning_rate

    @property
    def decay_epochs(self) -> list[int]:
        """--lr_decay_epochs, or 150, 180 and 210 of 240 in proportion to --epochs."""
        return published_decay(self.epochs) if self.lr_decay_epochs is None else self.lr_decay_epochs

    def scheduled(self, rate: float, epoch: int) -> float:
        """A rate in epoch `epoch` (from 0): `decayed_rate` or `cosine_rate`, and in the warm-up's epochs
        (epoch + 1) / warmup_epochs of that.
        """
        if self.schedule == "cosine":
            rate = cosine_rate(rate, epoch, self.epochs, self.warmup_epochs)
        else:
            rate = decayed_rate(rate, epoch, self.decay_epochs, self.lr_decay_rate)
        return rate * ((epoch + 1) / self.warmup_epochs) if epoch < self.warmup_epochs else rate


def decayed_rate(rate: float, epoch: int, decay_epochs: Sequence[int], factor: float) -> float:
    """The learning rate in epoch `epoch` (from 0): times `factor` after each of the decay epochs.

    With decay after 150, the first 150 epochs (0 to 149) run at the full rate.
    """
    return rate * factor ** sum(epoch >= decay for decay in decay_epochs)


def cosine_rate(rate: float, epoch: int, epochs: int, first: int = 0) -> float:
    """The learning rate in epoch `epoch` (from 0) of `epochs`, along half a cosine that begins in epoch
    `first` at the full rate, which those before it have too.

    It would be 0 in the epoch after the last one: no epoch is spent at rate 0. Loshchilov, Hutter: "SGDR",
    ICLR 2017, equation 5, without restarts and per epoch. https://arxiv.org/abs/1608.03983
    """
    passed = max(epoch - first, 0) / (epochs - first)
    return rate * ((1.0 + math.cos(math.pi * passed)) / 2.0)


def make_optimizer(task: Task, recipe: Recipe, capturable: bool = False) -> torch.optim.Optimizer:
    """SGD with momentum and weight decay, DOT, or AdamW, on all that the task's stage trains.

    One group per student; of AdamW two of the same name, as the weights of norms and biases do not decay.
    capturable: keep the learning rates, and the number of AdamW's steps, on the device, so that a CUDA graph
    can be replayed with new ones.
    """
    groups = task.parameter_groups()
    if recipe.optimizer == "adamw":
        groups = [part for group in groups for part in norms_and_biases_apart(group)]
    for group in groups:
        group["initial_lr"] = group["lr"]
        if capturable:
            group["lr"] = torch.tensor(group["lr"], device=task.device)
    common = {"lr": 0.0, "weight_decay": recipe.weight_decay}
    fused = task.device.type in ("cpu", "cuda")
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=fused, capturable=capturable, **common)
    if recipe.optimizer == "dot":
        return DOT(groups, momentum=recipe.momentum, delta=recipe.dot_delta, **common)
    return torch.optim.SGD(groups, momentum=recipe.momentum, fused=fused, **common)


def norms_and_biases_apart(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A group of parameters as two of its name: those of two and more dimensions, and the others, which have
    a weight decay of 0; one that would be empty is left out.
    """
    matrices = [parameter for parameter in group["params"] if parameter.dim() > 1]
    others = [parameter for parameter in group["params"] if parameter.dim() <= 1]
    parts = [{**group, "params": matrices}, {**group, "params": others, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


def set_learning_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, epoch: int) -> dict[str, float]:
    """Set every group's learning rate for the epoch; returns them by the groups' names."""
    rates = {}
    for group in optimizer.param_groups:
        rate = group["initial_lr"]
        if group["decays"]:
            rate = recipe.scheduled(rate, epoch)
        rates[group["name"]] = rate
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rates


def load_optimizer(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], elsewhere: Collection[str] = ()
) -> None:
    """Load what it remembers; rates and names stay the optimizer's own, whatever kind of number they are.

    elsewhere: the names of groups that other ranks train, of which it is to remember nothing.
    """
    groups = [
        {**own, "params": saved["params"]}
        for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    others = {number for group in groups if group["name"] in elsewhere for number in group["params"]}
    kept = {number: of_it for number, of_it in state["state"].items() if number not in others}
    optimizer.load_state_dict({"state": kept, "param_groups": groups})


def optimizer_state(
    optimizer: torch.optim.Optimizer, ranks: Ranks, elsewhere: Collection[str]
) -> dict[str, Any]:
    """What it remembers, as one process would: of groups of other ranks, on the first rank, what they say."""
    state = optimizer.state_dict()
    if ranks.world == 1:
        return state
    groups = state["param_groups"]
    remembered = _remembered(state["state"], groups)
    own = {number: copied(of_it) for number, of_it, name in remembered if name not in elsewhere}
    found = {number: of_it for part in ranks.on_first(own) for number, of_it in part.items()}
    return {
        "state": {number: of_it for number, of_it, _ in _remembered(found, groups)},
        "param_groups": groups,
    }


def _remembered(
    state: Mapping[int, Any], groups: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Any, str]]:
    """The number of each parameter that something is remembered of, that, and its group's name, by group."""
    for group in groups:
        own = set(group["params"])
        yield from ((number, of_it, group["name"]) for number, of_it in state.items() if number in own)
