"""What the losses on logits share: probabilities that stay finite, whatever the logits are."""

import torch
import torch.nn.functional as F
from torch import Tensor

from distiller_zoo.maps import precise

# As a logit: far below every other one, yet finite, so that 0 * (this - this) is 0 in values and gradients.
MASKED = -1e9


def teacher_logits(z_t: Tensor) -> Tensor:
    """The teacher's logits in at least float32, as a constant."""
    return precise(z_t.detach())


def kl_of_logs(log_p_s: Tensor, log_p_t: Tensor) -> Tensor:
    """KL(p_t || p_s) over axis 1 of log-probabilities (B, C, ...); a probability of 0 adds 0."""
    return (log_p_t.exp() * (log_p_t - log_p_s)).sum(dim=1)


def kl_divergence(z_s: Tensor, z_t: Tensor, T: float | Tensor = 1.0) -> Tensor:
    """KL(softmax(z_t / T) || softmax(z_s / T)) of each row (B,), not multiplied by T^2.

    z_s, z_t: logits (B, C) in at least float32. Gradients pass to both and to T.
    """
    return kl_of_logs(F.log_softmax(z_s / T, dim=1), F.log_softmax(z_t / T, dim=1))


def is_target(labels: Tensor, classes: int) -> Tensor:
    """Mask (B, classes), true at each row's label (B,)."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


def binary_logs(log_p: Tensor, target: Tensor) -> Tensor:
    """Log-probabilities (B, 2) of the target class and of all others together.

    log_p: (B, C) log-probabilities; target: mask (B, C) with one true per row. The others are summed, not
    taken as 1 - p, which would lose them where p is near 1.
    """
    own = log_p.masked_fill(~target, 0.0).sum(dim=1)
    others = log_p.masked_fill(target, MASKED).logsumexp(dim=1)
    return torch.stack([own, others], dim=1)


def unit(x: Tensor, dim: int, smallest: float = 1e-12) -> Tensor:
    """x over its L2 norm along `dim`; below the smallest norm it becomes 0, with no gradient."""
    squares = x.square().sum(dim=dim, keepdim=True)
    has_direction = squares > smallest**2
    return (x / squares.where(has_direction, 1.0).sqrt()).where(has_direction, 0.0)
