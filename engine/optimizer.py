"""The optimizer of a run and its learning rates."""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.task import Task
from helper.arguments import Parser, epoch_list, fraction, non_negative_float, positive_float, positive_int
from helper.recipe import SLOW_LEARNERS


def decayed_rate(rate: float, epoch: int, decay_epochs: Sequence[int], factor: float) -> float:
    """The learning rate in epoch `epoch` (from 0): times `factor` after each of the decay epochs.

    With decay after 150, the first 150 epochs (0 to 149) run at the full rate.
    """
    return rate * factor ** sum(epoch >= decay for decay in decay_epochs)


def make_optimizer(task: Task, args: argparse.Namespace, capturable: bool = False) -> torch.optim.SGD:
    """SGD with momentum and weight decay on all that the task learns, one group per student, fused.

    capturable: keep the learning rates on the device, so that a CUDA graph can be replayed with new ones.
    """
    groups = task.parameter_groups()
    for group in groups:
        group["initial_lr"] = group["lr"]
        if capturable:
            group["lr"] = torch.tensor(group["lr"], device=task.device)
    return torch.optim.SGD(
        groups,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        fused=task.device.type in ("cpu", "cuda"),
    )


def set_learning_rates(
    optimizer: torch.optim.Optimizer, epoch: int, decay_epochs: Sequence[int], factor: float
) -> dict[str, float]:
    """Set every group's learning rate for the epoch; returns them by the groups' names."""
    rates = {}
    for group in optimizer.param_groups:
        rate = group["initial_lr"]
        if group["decays"]:
            rate = decayed_rate(rate, epoch, decay_epochs, factor)
        rates[group["name"]] = rate
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rates


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load momentum; rates and names stay the optimizer's own, whatever kind of number they are."""
    groups = [
        {**own, "params": saved["params"]}
        for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})


def add_training_arguments(parser: Parser, epochs: int = 240) -> None:
    """Length of the run, optimizer and learning rate."""
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=positive_int, default=epochs, help=f"default {epochs}")
    group.add_argument(
        "--learning_rate",
        type=positive_float,
        help=f"default 0.05, and 0.01 for {', '.join(SLOW_LEARNERS)}",
    )
    group.add_argument(
        "--lr_decay_epochs",
        type=epoch_list,
        metavar="E,E,...",
        help="epochs after which the rate is decayed (default 150,180,210 of 240, in proportion)",
    )
    group.add_argument(
        "--lr_decay_rate", type=positive_float, default=0.1, help="factor of a decay (default 0.1)"
    )
    group.add_argument("--weight_decay", type=non_negative_float, default=5e-4, help="default 5e-4")
    group.add_argument("--momentum", type=fraction, default=0.9, help="default 0.9")
    group.add_argument(
        "--clip_grad",
        type=non_negative_float,
        default=0.0,
        metavar="NORM",
        help="clip each student's gradient to this norm (default 0: off)",
    )


def learning_rate_of(args: argparse.Namespace, model_name: str) -> float:
    """--learning_rate, or the recipe's for that network."""
    if args.learning_rate is not None:
        return args.learning_rate
    return 0.01 if model_name in SLOW_LEARNERS else 0.05


def decay_epochs(args: argparse.Namespace) -> list[int]:
    """--lr_decay_epochs, or 150, 180 and 210 of 240 in proportion to --epochs."""
    if args.lr_decay_epochs is not None:
        return args.lr_decay_epochs
    return [round(args.epochs * part) for part in (150 / 240, 180 / 240, 210 / 240)]
