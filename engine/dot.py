"""DOT, stochastic gradient descent that keeps the momentum of distillation apart from that of the task."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

TASK, DISTILLATION = "task_momentum", "distillation_momentum"


class DOT(torch.optim.Optimizer):
    """SGD with a momentum for the task's gradient, mu - delta, and one for distillation's, mu + delta.

    Weight decay belongs to the task; a parameter that only one of both reaches has the plain mu, and decay
    from its second step on if that is distillation (as published). No dampening, no Nesterov. Zhao, Cui,
    Song, Liang: "DOT: A Distillation-Oriented Trainer", ICCV 2023, section 3. https://arxiv.org/abs/2307.08436

    params: parameters or groups of them; lr: a number or a tensor; momentum: mu; delta: published 0.075;
    weight_decay: L2. Raises ValueError for a momentum, with or without delta, that is not between 0 and 1.

    A step needs two gradients at the same weights: that of the weighted distillation loss is put aside first.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = DOT([weight], lr=0.1)
    >>> weight.sum().backward()
    >>> optimizer.keep_distillation()
    >>> (2 * weight).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.7000, 0.7000])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float | Tensor,
        momentum: float = 0.9,
        delta: float = 0.075,
        weight_decay: float = 0.0,
    ):
        if delta < 0 or not 0 <= momentum - delta <= momentum + delta < 1:
            raise ValueError(
                f"momentum {momentum} with delta {delta}: momentum - delta has to be at least 0, and "
                "momentum + delta below 1"
            )
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "delta": delta, "weight_decay": weight_decay}
        )
        self._kept: dict[Tensor, Tensor] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._kept = {}

    def keep_distillation(self) -> None:
        """Put the parameters' gradients aside as those of distillation, and leave them without."""
        self._kept = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._kept[parameter] = parameter.grad
                    parameter.grad = None

    @torch.no_grad()
    def clip(self, max_norm: float) -> None:
        """Scale both gradients of each group so that the norm of their sum is at most `max_norm`."""
        for group in self.param_groups:
            found = [(p.grad, self._kept.get(p)) for p in group["params"]]
            found = [[gradient for gradient in pair if gradient is not None] for pair in found]
            if sums := [torch.stack(pair).sum(dim=0) for pair in found if pair]:
                factor = (max_norm / (torch.nn.utils.get_total_norm(sums) + 1e-6)).clamp(max=1.0)
                torch._foreach_mul_([gradient for pair in found for gradient in pair], factor)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step along the gradients put aside and along those that the parameters have, the task's."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        self._kept = {}
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        both, task_only, kept_only = [], [], []
        for parameter in group["params"]:
            if parameter.grad is not None:
                (both if parameter in self._kept else task_only).append(parameter)
            elif parameter in self._kept:
                kept_only.append(parameter)
        mu, delta, decay = group["momentum"], group["delta"], group["weight_decay"]
        for parameters, momentum in ((both, mu - delta), (task_only, mu)):
            self._move(group, TASK, parameters, [p.grad for p in parameters], momentum, decay)
        self._move(group, DISTILLATION, both, [self._kept[p] for p in both], mu + delta, 0.0)
        started = [p for p in kept_only if DISTILLATION in self.state[p]]
        starting = [p for p in kept_only if DISTILLATION not in self.state[p]]
        for parameters, own_decay in ((started, decay), (starting, 0.0)):
            gradients = [self._kept[p] for p in parameters]
            self._move(group, DISTILLATION, parameters, gradients, mu, own_decay)

    def _move(
        self,
        group: dict[str, Any],
        name: str,
        parameters: list[Tensor],
        gradients: list[Tensor],
        momentum: float,
        decay: float,
    ) -> None:
        """Add the gradients to a momentum buffer, at first zero, and move the parameters against it."""
        if not parameters:
            return
        buffers = []
        for parameter in parameters:
            state = self.state[parameter]
            if name not in state:
                state[name] = torch.zeros_like(parameter)
            buffers.append(state[name])
        if decay:
            gradients = torch._foreach_add(gradients, parameters, alpha=decay)
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        if isinstance(group["lr"], Tensor):
            torch._foreach_sub_(parameters, torch._foreach_mul(buffers, group["lr"]))
        else:
            torch._foreach_sub_(parameters, buffers, alpha=group["lr"])
