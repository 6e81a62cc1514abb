"""Literal forms of the methods that read a second view of each image, or regions of its last map.

Each returns the scalar that `method(student, teacher, batch)` returns (for a dict: the sum of its terms),
with that method's layers, weights and buffers. What published steps compute without using it (MLKD's
correlations of the strong view), and SDD's check for a loss that is not finite, are left out.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.literal_divergences import both_logits, decoupled, softened, standard_logits
from distiller_zoo.base import Distiller
from distiller_zoo.maps import precise
from helper.batch import Batch, Output


def up_to_median(values: Tensor) -> Tensor:
    """Mask (n,) of the values up to their median, which numpy finds on the CPU."""
    median = np.percentile(values.detach().cpu().numpy(), 50)
    return (values <= float(median)).to(values.dtype)


def confidence_masks(z_t: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of the images (B,) and classes (C,) of which the teacher, of logits (B, C), is less sure."""
    p_t = F.softmax(z_t, dim=1)
    return up_to_median(p_t.max(dim=1).values), up_to_median(p_t.sum(dim=0))


def gram_error(a_s: Tensor, a_t: Tensor) -> Tensor:
    """Squared differences of the Gram matrices (N, N) of rows (N, M), summed, over N."""
    gram_s, gram_t = torch.mm(a_s, a_s.t()), torch.mm(a_t, a_t.t())
    return ((gram_t - gram_s) ** 2).sum() / len(a_s)


def class_correlation(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """The scalar error of the classes' correlations (C, C) at temperature T, of logits (B, C)."""
    return gram_error(F.softmax(z_s / T, dim=1).t(), F.softmax(z_t / T, dim=1).t())


def batch_correlation(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """The scalar error of the images' correlations (B, B) at temperature T, of logits (B, C)."""
    return gram_error(F.softmax(z_s / T, dim=1), F.softmax(z_t / T, dim=1))


def mlkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """KL, class and batch correlations at five temperatures, and CE of the strong view. Jin et al., 2023."""
    z_s, z_t = both_logits(student, teacher)
    strong_s, strong_t = both_logits(student.views["strong"], teacher.views["strong"])
    images, classes = confidence_masks(z_t)
    weak, strong = (z_s, z_t), (strong_s, strong_t)
    if method.loss.standardise:
        weak, strong = (tuple(map(standard_logits, pair)) for pair in (weak, strong))
    total = z_s.new_zeros(())
    for T in (method.loss.T, 3.0, 5.0, 2.0, 6.0):
        total = total + (softened(*weak, T).mean() * images).mean()
        total = total + (class_correlation(z_s, z_t, T) * classes).mean()
        total = total + (batch_correlation(z_s, z_t, T) * images).mean()
    for T in (method.loss.T, 3.0, 5.0):
        total = total + softened(*strong, T).mean()
    for T in (2.0, 6.0):  # the published code reads the weak view here
        total = total + softened(*weak, T).mean()
    return method.ce_weight * F.cross_entropy(strong_s, batch.labels) + method.weight * total


def crld(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """Masked KL within and across views, and CE of the strong view. Zhang et al., 2024."""
    z_s, z_t = both_logits(student, teacher)
    strong_s, strong_t = both_logits(student.views["strong"], teacher.views["strong"])
    loss, weights = method.loss, method.term_weights
    sure = F.softmax(z_t, dim=1).max(dim=1).values.ge(loss.weak_confidence).to(z_s.dtype)
    sure_strong = F.softmax(strong_t, dim=1).max(dim=1).values.ge(loss.strong_confidence).to(z_s.dtype)
    within = (softened(z_s, z_t, loss.T) * sure).mean() + (softened(strong_s, strong_t, loss.T) * sure).mean()
    across = (softened(strong_s, z_t, loss.T) * sure_strong).mean()
    across = across + (softened(z_s, strong_t, loss.T) * sure_strong).mean()
    entropy = F.cross_entropy(strong_s, batch.labels)
    return weights["ce_strong"] * entropy + weights["within"] * within + weights["across"] * across


def skd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """Masked KL, and the Mahalanobis lengths of the cosine matrices' differences. Jeong et al., 2026."""
    z_s, z_t = both_logits(student, teacher)
    images, classes = confidence_masks(z_t)
    unit_s, unit_t = (z / z.norm(dim=1, keepdim=True) for z in (z_s, z_t))
    difference = torch.mm(unit_s, unit_s.t()) / z_s.shape[1] - torch.mm(unit_t, unit_t.t()) / z_t.shape[1]
    identity = torch.eye(len(z_s), dtype=z_s.dtype, device=z_s.device)
    covariance = torch.cov(difference.t()) + method.loss.tikhonov * identity
    solved = torch.cholesky_solve(difference.t(), torch.linalg.cholesky(covariance)).t()
    direction = (difference * solved).sum(dim=1).sqrt().mean()
    of_logits = softened(z_s, z_t, method.loss.T).mean()
    return (of_logits * images).mean() + (direction * classes).mean()


def catkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """Squared error of pooled class activation maps. Guo et al., 2023."""
    classifier_s, classifier_t = method.classifiers
    cam_s = F.conv2d(precise(method.last_map_s(student)), classifier_s.weight[:, :, None, None])
    cam_t = F.conv2d(precise(method.last_map_t(teacher)), classifier_t.weight[:, :, None, None]).detach()
    size = (method.loss.resolution, method.loss.resolution)
    cam_s, cam_t = F.adaptive_avg_pool2d(cam_s, size), F.adaptive_avg_pool2d(cam_t, size)
    cam_s, cam_t = cam_s.flatten(2), cam_t.flatten(2)
    if method.loss.normalize:
        cam_s, cam_t = F.normalize(cam_s, dim=2), F.normalize(cam_t, dim=2)
    return F.mse_loss(cam_s, cam_t)


def region_logits(feature: Tensor, classifier: nn.Linear, scales: tuple[int, ...]) -> Tensor:
    """The classifier's logits (B, C, N) of the average vectors of regions of a map, N over all scales."""
    finest = F.adaptive_avg_pool2d(precise(feature), (4, 4))
    pools = [F.adaptive_avg_pool2d(finest, (scale, scale)) for scale in scales]
    vectors = torch.cat([pool.flatten(2) for pool in pools], dim=2)
    return classifier(vectors.permute(0, 2, 1)).permute(0, 2, 1)


def regions(
    method: Distiller, student: Output, teacher: Output, batch: Batch
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of all regions of all images, region by region: both networks' logits (N * B, C), labels (N * B,) and
    weights (N * B,).
    """
    classifier_s, classifier_t = method.classifiers
    z_s = region_logits(method.last_map_s(student), classifier_s, method.loss.scales)
    z_t = region_logits(method.last_map_t(teacher), classifier_t, method.loss.scales).detach()
    images, classes, places = z_s.shape
    z_s, z_t = (z.permute(2, 0, 1).reshape(places * images, classes) for z in (z_s, z_t))
    labels = batch.labels.repeat(places)
    right = z_t.argmax(dim=1) == labels
    weights = torch.ones_like(z_s[:, 0])
    weights[right != right[:images].repeat(places)] = 2.0
    return z_s, z_t, labels, weights


def sdd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """The weighted mean of the regions' T^2 KL, NaN counting as 0. Wei et al., 2024."""
    z_s, z_t, _, weights = regions(method, student, teacher, batch)
    T = method.loss.T
    elements = F.kl_div(F.log_softmax(z_s / T, dim=1), F.softmax(z_t / T, dim=1), reduction="none")
    elements = torch.where(elements.isnan(), torch.zeros_like(elements), elements)
    return (weights * elements.sum(dim=1) * T**2).mean()


def sdd_dkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """The weighted mean of the regions' alpha TCKD + beta NCKD. Wei et al., 2024."""
    z_s, z_t, labels, weights = regions(method, student, teacher, batch)
    of_target, of_others = decoupled(z_s, z_t, labels, method.loss.T)
    return (weights * (method.loss.alpha * of_target + method.loss.beta * of_others)).mean()
