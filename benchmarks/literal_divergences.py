"""What the literal forms of several response methods share, with every tensor that the formulas name."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from distiller_zoo.maps import precise
from helper.batch import Output

Divergence = Callable[[Tensor, Tensor], Tensor]
TARGET_OFFSET = 1000.0  # DKD's: what is subtracted from the label's logit


def both_logits(student: Output, teacher: Output) -> tuple[Tensor, Tensor]:
    """The student's logits (B, C) and the teacher's (B, C), which are constants."""
    return precise(student.logits), precise(teacher.logits.detach())


def divergences(log_p_s: Tensor, p_t: Tensor) -> Tensor:
    """KL(p_t || p_s) of each row (B,), of log-probabilities (B, C) and probabilities (B, C)."""
    return F.kl_div(log_p_s, p_t, reduction="none").sum(1)


def guarded_divergences(log_p_s: Tensor, p_t: Tensor) -> Tensor:
    """The same, with a finite gradient with respect to probabilities p_t that are 0."""
    positive = p_t > 0
    log_p_t = torch.where(positive, p_t, torch.ones_like(p_t)).log()
    return torch.where(positive, p_t * (log_p_t - log_p_s), torch.zeros_like(p_t)).sum(1)


def softened(z_s: Tensor, z_t: Tensor, T: float | Tensor) -> Tensor:
    """T^2 KL(softmax(z_t / T) || softmax(z_s / T)) of each row (B,) of logits (B, C). Hinton et al., 2015."""
    return divergences(F.log_softmax(z_s / T, dim=1), F.softmax(z_t / T, dim=1)) * T**2


def standard_logits(z: Tensor) -> Tensor:
    """(z - mean) / (1e-7 + std) of each row (B, C), the unbiased deviation. Sun et al., 2024."""
    return (z - z.mean(dim=1, keepdim=True)) / (1e-7 + z.std(dim=1, keepdim=True))


def masks(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Boolean masks of the shape of logits (B, C): each row's label, and its other classes."""
    index = labels.reshape(-1, 1)
    target = torch.zeros_like(z).scatter_(1, index, 1.0).bool()
    others = torch.ones_like(z).scatter_(1, index, 0.0).bool()
    return target, others


def binary(p: Tensor, target: Tensor, others: Tensor) -> Tensor:
    """Probabilities (B, 2) of the masked class and of the sum of the others, of p (B, C)."""
    own = (p * target).sum(dim=1, keepdim=True)
    rest = (p * others).sum(dim=1, keepdim=True)
    return torch.cat([own, rest], dim=1)


def decoupled(
    z_s: Tensor, z_t: Tensor, labels: Tensor, T: float | Tensor, divergence: Divergence = divergences
) -> tuple[Tensor, Tensor]:
    """T^2 TCKD and T^2 NCKD of each row (B,) of logits (B, C). Zhao et al., 2022, equation 7."""
    target, others = masks(z_s, labels)
    b_s = binary(F.softmax(z_s / T, dim=1), target, others)
    b_t = binary(F.softmax(z_t / T, dim=1), target, others)
    log_n_s = F.log_softmax(z_s / T - TARGET_OFFSET * target, dim=1)
    n_t = F.softmax(z_t / T - TARGET_OFFSET * target, dim=1)
    return divergence(b_s.log(), b_t) * T**2, divergence(log_n_s, n_t) * T**2
