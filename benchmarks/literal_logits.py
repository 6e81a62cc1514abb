"""Literal forms of the modern response methods: the formulas as their published codes compute them.

Every tensor that a formula names is made: masks by scatter, a cost matrix per image, differences of all
pairs. Each form returns the scalar that `method(student, teacher, batch)` returns (for a dict: the sum of its
terms), with that method's layers, weights and buffers. Nothing is slowed down.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.literal_divergences import (
    binary,
    both_logits,
    decoupled,
    divergences,
    guarded_divergences,
    masks,
    softened,
    standard_logits,
)
from benchmarks.literal_views import catkd, crld, mlkd, sdd, sdd_dkd, skd
from distiller_zoo.base import Distiller
from distiller_zoo.maps import precise
from helper.batch import Batch, Output
from helper.device import autocast_like

GUARD = 1e-8  # WKD's: added to costs and to denominators
MASKED = -1e9  # RLD's: a logit that does not count


def dkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """alpha TCKD + beta NCKD. Zhao et al., 2022, equation 7."""
    z_s, z_t = both_logits(student, teacher)
    if method.loss.standardise:
        z_s, z_t = standard_logits(z_s), standard_logits(z_t)
    of_target, of_others = decoupled(z_s, z_t, batch.labels, method.loss.T)
    return method.loss.alpha * of_target.mean() + method.loss.beta * of_others.mean()


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Correlations (N,) of the rows of a and b, both (N, M)."""
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)


def dist(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """tau^2 (beta inter + gamma intra). Huang et al., 2022."""
    z_s, z_t = both_logits(student, teacher)
    loss = method.loss
    p_s, p_t = F.softmax(z_s / loss.tau, dim=1), F.softmax(z_t / loss.tau, dim=1)
    inter = 1 - pearson(p_s, p_t).mean()
    intra = 1 - pearson(p_s.transpose(0, 1), p_t.transpose(0, 1)).mean()
    return loss.tau**2 * (loss.beta * inter + loss.gamma * intra)


def luminet(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """A^2 KL of logits that are standardised per class over the batch. Hossain et al., 2025."""
    h_s, h_t = (
        (z - z.mean(dim=0, keepdim=True)) / (z.var(dim=0, keepdim=True, correction=0) + 1e-5).sqrt()
        for z in both_logits(student, teacher)
    )
    T = method.loss.T
    divergence = divergences(F.log_softmax(h_s / T, dim=1), F.softmax(h_t / T, dim=1)).mean()
    return method.loss.alpha**2 * divergence


def nkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """-p_t log p_s of the label, and gamma T^2 times the classes' cross-entropy. Yang et al., 2023."""
    z_s, z_t = both_logits(student, teacher)
    index, T = batch.labels.reshape(-1, 1), method.loss.T
    p_s, p_t = F.softmax(z_s, dim=1).gather(1, index), F.softmax(z_t, dim=1).gather(1, index)
    of_target = -(p_t * p_s.log()).mean()
    mask = torch.ones_like(z_s)
    if method.loss.only_others:
        mask = mask.scatter_(1, index, 0.0)
    z_s, z_t = (z[mask.bool()].reshape(len(z), -1) for z in (z_s, z_t))
    of_classes = -(F.softmax(z_t / T, dim=1) * F.log_softmax(z_s / T, dim=1)).sum(dim=1).mean()
    return of_target + method.loss.gamma * T**2 * of_classes


def rld(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """alpha Ta^2 KL of confidences + beta T^2 KL of the classes below the label. Sun et al., 2024."""
    z_s, z_t = both_logits(student, teacher)
    loss = method.loss
    b_s = binary(F.softmax(z_s / loss.alpha_T, dim=1), *masks(z_s, batch.labels))
    b_t = binary(F.softmax(z_t / loss.alpha_T, dim=1), *masks(z_t, z_t.argmax(dim=1)))
    confidence = divergences(b_s.log(), b_t).mean() * loss.alpha_T**2
    above = z_t >= z_t.gather(1, batch.labels.reshape(-1, 1)).expand_as(z_t)
    correlation = softened(z_s.masked_fill(above, MASKED), z_t.masked_fill(above, MASKED), loss.T).mean()
    return loss.alpha * confidence + loss.beta * correlation


def transformed(z_s: Tensor, z_t: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
    """KL of the powers' distribution from the student, and the powers' sum, each (B,), of logits (B, C)."""
    powers = F.softmax(z_t, dim=1).pow(exponent)
    total = powers.sum(dim=1, keepdim=True)
    return divergences(F.log_softmax(z_s, dim=1), powers / total), total.squeeze(1)


def ttm(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """KL of the transformed teacher. Zheng and Yang, 2024, section 3."""
    return transformed(*both_logits(student, teacher), method.loss.exponent)[0].mean()


def wttm(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """The same, weighted per image by the sum of powers. Zheng and Yang, 2024, section 4."""
    divergence, total = transformed(*both_logits(student, teacher), method.loss.exponent)
    return (total * divergence).mean()


class ScaledGradient(torch.autograd.Function):
    """The value itself, with its gradient multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: Tensor) -> Tensor:
        """The same numbers as value."""
        ctx.save_for_backward(factor)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of value, and none of the factor."""
        (factor,) = ctx.saved_tensors
        return gradient * factor, None


def temperature(method: Distiller) -> Tensor:
    """CTKD's trained temperature (1,), its gradient scaled by the curriculum. Li et al., 2023."""
    own = method.loss.temperature
    return own.start + own.span * torch.sigmoid(ScaledGradient.apply(own.global_T, own.strength))


def ctkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """T^2 KL at the trained temperature. Li et al., 2023."""
    return softened(*both_logits(student, teacher), temperature(method)).mean()


def ctkd_dkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """DKD at the trained temperature, guarded: the published gradient of T is NaN. Li et al., 2023."""
    T = temperature(method)
    parts = decoupled(*both_logits(student, teacher), batch.labels, T, guarded_divergences)
    return method.loss.alpha * parts[0].mean() + method.loss.beta * parts[1].mean()


def itrd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """Correlation and mutual information of embeddings. Miles et al., 2022."""
    e_s, e_t = precise(student.embedding), precise(teacher.embedding.detach())
    u = method.loss.embed(e_s)
    standard_s, standard_t = ((e - e.mean(dim=0)) / e.std(dim=0) for e in (u, e_t))
    correlation = torch.einsum("bd,bd->d", standard_s, standard_t) / len(u)
    errors = (correlation - torch.ones_like(correlation)).abs().pow(2.0 * method.loss.alpha)
    compared = e_s if e_s.shape[1] == e_t.shape[1] else u
    unit_s, unit_t = F.normalize(compared, p=2.0, dim=1), F.normalize(e_t, p=2.0, dim=1)
    gram_s, gram_t = torch.mm(unit_s, unit_s.t()), torch.mm(unit_t, unit_t.t())
    joint = gram_s * gram_t
    gram_s, joint = gram_s / gram_s.trace(), joint / joint.trace()
    mutual = (gram_s.pow(2) - joint.pow(2)).sum()
    weights = method.term_weights
    return weights["correlation"] * torch.log2(errors.sum()) + weights["mutual"] * mutual


def kendall(z_s: Tensor, z_t: Tensor, beta: float) -> Tensor:
    """1 - the mean of 2 sigmoid(beta d_t d_s) - 1 over rows and pairs i < j, of standard logits (N, M)."""
    d_s, d_t = (z.unsqueeze(2) - z.unsqueeze(1) for z in (z_s, z_t))
    agreement = 2.0 * torch.sigmoid(beta * d_t * d_s) - 1.0
    pairs = torch.ones_like(agreement).triu(diagonal=1)
    size = z_s.shape[1]
    return 1.0 - ((agreement * pairs).sum(dim=(1, 2)) / (size * (size - 1) / 2)).mean()


def mrd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """Cosine and Kendall's correlation of standard logits, of rows and of columns.

    https://github.com/ebolk/MonotonicRankDistillation
    """
    z_s, z_t = both_logits(student, teacher)
    total = z_s.new_zeros(())
    for side in ((z_s, z_t), (z_s.t(), z_t.t())):
        s, t = ((z - z.mean(dim=1, keepdim=True)) / z.std(dim=1, keepdim=True) for z in side)
        total = total + method.factors["similarity"] * (1.0 - F.cosine_similarity(s, t, dim=1).mean())
        total = total + method.factors["kendall"] * kendall(s, t, method.loss.beta)
    return total


def transport(method: Distiller, z_s: Tensor, z_t: Tensor, labels: Tensor) -> Tensor:
    """WKD-L's distances (B,) by Sinkhorn's iterations on one cost matrix (C - 1, C - 1) per image.

    z_s, z_t: (B, C); labels: (B,). Lv et al., 2024, section 3.1.
    """
    loss = method.logits
    guarded = loss.kernel_cost / loss.kernel
    # the method keeps exp(-cost / regularisation) and its product with the cost, and neither of the two
    regularisation = -guarded.max() / loss.kernel.min().log()
    images, classes = z_s.shape
    _, others = masks(z_s, labels)
    a, b = (F.softmax(z[others].reshape(images, -1) / loss.T, dim=1) for z in (z_s, z_t))
    kept = others.unsqueeze(2) & others.unsqueeze(1)
    distances = (guarded - GUARD).expand(images, classes, classes)[kept]
    cost = distances.reshape(images, classes - 1, classes - 1).relu() + GUARD
    kernel = torch.exp(-cost / regularisation)
    u = torch.full_like(a, 1.0 / (classes - 1)).unsqueeze(2)
    for _ in range(loss.iterations):
        v = b.unsqueeze(2) / (torch.bmm(kernel.transpose(1, 2), u) + GUARD)
        u = a.unsqueeze(2) / (torch.bmm(kernel, v) + GUARD)
    plan = u * kernel * v.transpose(1, 2)
    return (plan * cost).sum(dim=(1, 2))


def gaussian_distance(f_s: Tensor, f_t: Tensor, ratio: float, epsilon: float) -> Tensor:
    """WKD-F's distances (B,) of maps (B, C, H, W), by channel. Lv et al., 2024, section 3.2."""
    f_s, f_t = f_s.flatten(2), f_t.flatten(2)
    means = (f_s.mean(dim=2) - f_t.mean(dim=2)).pow(2).sum(dim=1)
    deviation_s, deviation_t = ((f.var(dim=2, correction=1) + epsilon).sqrt() for f in (f_s, f_t))
    return ratio * means + (deviation_s - deviation_t).pow(2).sum(dim=1)


def wkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """Transport of the logits, Gaussians of the last maps per cell, and the label. Lv et al., 2024."""
    z_s, z_t = both_logits(student, teacher)
    total = z_s.new_zeros(())
    if method.logits is not None:
        index = batch.labels.reshape(-1, 1)
        own = F.log_softmax(z_s, dim=1).gather(1, index) * F.softmax(z_t, dim=1).gather(1, index)
        distance = transport(method, z_s, z_t, batch.labels).mean()
        total = total - own.mean() + method.logits_weight * method.factor * distance
    if method.features is not None:
        f_s, loss = student.maps[-1], method.features
        with autocast_like(f_s):
            regressed = loss.regressor(f_s)
        f_s, f_t = precise(regressed), precise(teacher.maps[-1].detach())
        size = f_t.shape[2] // loss.grid
        for top in range(0, f_t.shape[2], size):
            for left in range(0, f_t.shape[3], size):
                rows, columns = slice(top, top + size), slice(left, left + size)
                cells = f_s[:, :, rows, columns], f_t[:, :, rows, columns]
                distance = gaussian_distance(*cells, loss.ratio, loss.epsilon).mean() / loss.grid**2
                total = total + method.features_weight * method.factor * distance
    return total


LITERAL: dict[str, Callable[[Distiller, Output, Output, Batch], Tensor]] = {
    form.__name__: form
    for form in (
        dkd,
        mlkd,
        catkd,
        crld,
        dist,
        itrd,
        luminet,
        nkd,
        rld,
        skd,
        ttm,
        wttm,
        ctkd,
        ctkd_dkd,
        sdd,
        sdd_dkd,
        wkd,
        mrd,
    )
}
