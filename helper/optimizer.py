"""The optimizer of a run and its learning rates."""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from helper.task import Task


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
