"""The contrast: noise-contrastive losses of a batch against both banks, with their gradients, and no gather
of vectors.

With s the inner product of an anchor and a row of a bank, p = exp(s/T)/Z and noise m * P_n = K/n_data, the
odds of a pair being a positive are o = p/(m * P_n + eps). A positive costs -log(p/(p + m P_n + eps)) = log(1
+ 1/o), a negative -log(m P_n/(p + m P_n + eps)) = log(1 + o) + log(1 + eps/(m P_n)), with the slope o/(1 + o)
in s/T. (Tian, Krishnan, Isola: "Contrastive Representation Distillation", 2020, equations 10 to 18.)
"""

import math

import torch
from torch import Tensor

from crd.negatives import Negatives

LARGEST_EXPONENT = 88.0  # of e, in float32
MARGIN = 5.0


def sums_of_exponentials(
    anchors: list[Tensor], banks: list[Tensor], negatives: Negatives, temperature: float
) -> list[Tensor]:
    """Per direction the sum of exp(score/T) over all negatives of all anchors (B, D)."""
    sums = [anchor.new_zeros(()) for anchor in anchors]
    queries = [_queries(anchor, bank, temperature) for anchor, bank in zip(anchors, banks, strict=True)]
    for block in negatives.blocks():
        for k, bank in enumerate(banks):
            scores = (bank[block.rows] @ queries[k][block.samples].T).float()
            sums[k] += scores.exp2_().mul_(block.weights).sum()
    return sums


def negative_losses(
    anchors: list[Tensor],
    banks: list[Tensor],
    negatives: Negatives,
    thresholds: list[Tensor],
    temperature: float,
) -> tuple[Tensor, list[Tensor]]:
    """Sum of log(1 + o) over all negatives of both directions, and its gradients with respect to the anchors
    (B, D).

    banks: (n_data, D) in float32 or, for products in low precision, bfloat16; thresholds: per direction the
    value of score/T where o = 1.
    """
    total = anchors[0].new_zeros(())
    queries = [_queries(anchor, bank, temperature) for anchor, bank in zip(anchors, banks, strict=True)]
    gradients = [torch.zeros_like(anchor) for anchor in anchors]
    shifts = [-threshold * math.log2(math.e) for threshold in thresholds]
    group = _group(temperature, negatives.count)
    for block in negatives.blocks():
        for k, bank in enumerate(banks):
            rows = bank[block.rows]
            scores = (rows @ queries[k][block.samples].T).float()
            odds = scores.add_(shifts[k]).exp2_().mul_(block.weights)
            rest = odds + 1.0
            slopes = odds.div_(rest).to(rows.dtype)
            total += _sum_of_logs(rest, group)
            gradients[k][block.samples] += slopes.T @ rows
    return total, [gradient / temperature for gradient in gradients]


class Attach(torch.autograd.Function):
    """A value whose gradient is known already."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, anchors: Tensor, value: Tensor, gradient: Tensor
    ) -> Tensor:
        """`value`, with the derivative `gradient` (B, D) with respect to the anchors (B, D)."""
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None


def _queries(anchors: Tensor, bank: Tensor, temperature: float) -> Tensor:
    """Anchors whose products with rows of the bank are scores/T as powers of 2, which are faster than those
    of e.
    """
    return (anchors * (math.log2(math.e) / temperature)).to(bank.dtype)


def _group(temperature: float, count: int) -> int:
    """How many factors 1 + o can be multiplied in float32: o is at most about exp(1/T)/K."""
    largest = max(1.0 / temperature - math.log(count), 0.0) + MARGIN
    return max([g for g in (2, 4, 8) if g * largest < LARGEST_EXPONENT], default=1)


def _sum_of_logs(factors: Tensor, group: int) -> Tensor:
    """Sum of the logarithms, taken of products of `group` factors, because a logarithm costs ten products."""
    flat = factors.flatten()
    whole = len(flat) // group * group
    return flat[:whole].view(group, -1).prod(dim=0).log_().sum() + flat[whole:].log().sum()
