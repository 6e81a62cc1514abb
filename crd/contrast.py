"""The contrast: scores of embeddings against a bank, and the noise-contrastive loss of them with its gradient."""

import torch
from torch import Tensor

EPSILON = 1e-7
# product with the whole bank up to this many rows per drawn one, from there on the drawn rows one sample at a time
ROWS_PER_NEGATIVE = 64


def positive_scores(anchors: Tensor, bank: Tensor, positives: Tensor) -> Tensor:
    """Inner products (B,) of the anchors (B, D) with their own rows of the bank (n_data, D)."""
    return (anchors * bank[positives]).sum(dim=1)


def negative_scores(anchors: Tensor, bank: Tensor, negatives: Tensor) -> Tensor:
    """Inner products (B, W) of the anchors (B, D) with drawn rows (B, W) of the bank (n_data, D).

    One product with the whole bank and a gather of scores, never a gather of vectors; for a bank so large that this
    costs more, the drawn rows of one sample after the other.
    """
    if uses_product(len(bank), negatives.shape[1]):
        return (anchors.to(bank.dtype) @ bank.T).gather(1, negatives).float()
    return torch.stack([bank[row].float() @ anchor for anchor, row in zip(anchors, negatives, strict=True)])


def sum_of_rows(weights: Tensor, bank: Tensor, negatives: Tensor) -> Tensor:
    """Sums (B, D) of the drawn rows (B, W) of the bank (n_data, D), each times its weight (B, W)."""
    if uses_product(len(bank), negatives.shape[1]):
        spread = torch.zeros(len(weights), len(bank), dtype=weights.dtype, device=weights.device)
        spread.scatter_add_(1, negatives, weights)
        return (spread.to(bank.dtype) @ bank).float()
    return torch.stack([weight @ bank[row].float() for weight, row in zip(weights, negatives, strict=True)])


def uses_product(rows: int, drawn: int) -> bool:
    """Whether the product with the whole bank pays."""
    return rows <= ROWS_PER_NEGATIVE * drawn


class Contrast(torch.autograd.Function):
    """Loss of one direction: -(sum over positives of log(p/(p + m P_n + eps)) + sum over negatives of
    log(m P_n/(p + m P_n + eps)))/B, with p = exp(score/T)/Z, m = K, P_n = 1/n_data and eps = 1e-7.

    Tian, Krishnan, Isola: "Contrastive Representation Distillation", 2020, equations 10 to 18.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        anchors: Tensor,
        positives: Tensor,
        scores: Tensor,
        bank: Tensor,
        product_bank: Tensor,
        positive_indices: Tensor,
        negatives: Tensor,
        kept: Tensor | None,
        normaliser: Tensor,
        temperature: float,
        noise: float,
    ) -> Tensor:
        """Scalar loss; gradient with respect to the anchors (B, D) alone.

        positives: their scores (B,); scores: those of the drawn rows (B, W), overwritten; kept: mask (B, W) of those
        that count, None for all; noise: m * P_n.
        """
        ceiling = noise + EPSILON
        p_positive = torch.exp(positives / temperature) / normaliser
        p = scores.div_(temperature).exp_().div_(normaliser)
        total = p + ceiling
        if kept is not None:
            log_negative = (torch.log(total / noise) * kept).sum()
            slope = p.div_(total).mul_(kept)
        else:
            log_negative = torch.log(total / noise).sum()
            slope = p.div_(total)
        log_positive = torch.log(p_positive / (p_positive + ceiling)).sum()
        scale = 1.0 / (temperature * len(anchors))
        gradient = sum_of_rows(slope, product_bank, negatives) * scale
        pull = ceiling / (p_positive + ceiling) * scale
        ctx.save_for_backward(gradient - pull[:, None] * bank[positive_indices])
        return (log_negative - log_positive) / len(anchors)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer, *[None] * 10)
