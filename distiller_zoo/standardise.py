"""Logit standardisation: every row of logits in units of its own standard deviation."""

from torch import Tensor

EPSILON = 1e-7


def standardised(z: Tensor) -> Tensor:
    """(z - mean) / (1e-7 + std) of each row of logits z (B, C), the unbiased deviation over its C classes.

    The gradient passes through mean and deviation; a row of equal logits becomes zeros and gets no gradient
    (the published code gives NaN there). Sun, Ren, Li, Wang, Cao: "Logit Standardization in Knowledge
    Distillation", CVPR 2024, algorithm 1. https://arxiv.org/abs/2403.01427

        >>> import torch
        >>> standardised(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
        [[-0.9999998807907104, 0.0, 0.9999998807907104]]
    """
    centred = z - z.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1, keepdim=True) / max(z.shape[1] - 1, 1)
    spread = variance > 0
    deviation = variance.where(spread, 1.0).sqrt()
    return (centred / (EPSILON + deviation)).where(spread, 0.0)
