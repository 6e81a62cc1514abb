"""Response and feature knowledge as transport: what turns the student's distributions into the teacher's."""

import math
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.fitnet import Regressor
from distiller_zoo.maps import precise, unit
from helper.arguments import non_negative_float, positive_float, positive_int
from helper.batch import Batch, Output
from helper.device import autocast_like
from helper.errors import UserError

PARTS = ("both", "logits", "features")
GUARD = 1e-8
DECAY_START = 150 / 240  # of the run


class Setting(NamedTuple):
    """What the published runs set per pair: logits, weight and temperature, of WKD-L alone and beside WKD-F;
    features, weight and ratio of means to deviations, the same; grid of WKD-F.
    """

    logits_alone: tuple[float, float]
    logits: tuple[float, float]
    features_alone: tuple[float, float]
    features: tuple[float, float]
    grid: int


# The published runs, by (student, teacher); other pairs take those of the first
SETTINGS = {
    ("resnet8x4", "resnet32x4"): Setting((600.0, 8.0), (200.0, 8.0), (0.08, 4.0), (0.08, 8.0), 1),
    ("ShuffleV1", "wrn_40_2"): Setting((200.0, 6.0), (60.0, 4.0), (0.3, 3.0), (0.5, 3.0), 4),
}
OTHER_PAIRS = SETTINGS["resnet8x4", "resnet32x4"]


class WKDLogitLoss(nn.Module):
    """Cross-entropy with the teacher's probability of the true class, and the Wasserstein distance between
    the distributions over all other classes, by a fixed number of Sinkhorn's iterations.

    The iterations do not converge in the published number of ten, so it is part of the definition. The
    label's class gets no mass, which is the same as to leave out its row and column of the cost, without a
    matrix per image. Lv, Yang, Li: "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge
    Distillation", NeurIPS 2024, section 3.1. https://arxiv.org/abs/2412.08139

    cost: (C, C) distances between classes; T: temperature of the transported distributions; regularisation:
    of Sinkhorn; iterations: of Sinkhorn; sharpen: k in 1 - exp(-k cost), 0 for the cost as it is.

    >>> loss = WKDLogitLoss(1.0 - torch.eye(10))
    >>> sorted(loss(torch.randn(4, 10), torch.randn(4, 10), torch.arange(4)))
    ['target', 'transport']
    """

    def __init__(
        self,
        cost: Tensor,
        T: float = 8.0,
        regularisation: float = 0.05,
        iterations: int = 10,
        sharpen: float = 1.0,
    ):
        super().__init__()
        self.T, self.iterations = T, iterations
        cost = precise(cost.detach())
        # in place, for a matrix of all classes may be large
        cost = cost.mul(-sharpen).exp_().neg_().add_(1.0) if sharpen else cost.clone()
        kernel = cost.relu_().add_(GUARD).div(-regularisation).exp_()
        self.register_buffer("kernel", kernel, persistent=False)
        self.register_buffer("kernel_cost", cost.mul_(kernel), persistent=False)

    def forward(self, z_s: Tensor, z_t: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Both losses, 'target' and 'transport', of logits z_s (B, C) against z_t (B, C); labels: (B,)."""
        z_s, z_t = precise(z_s), precise(z_t.detach())
        mask = labels[:, None] == torch.arange(z_s.shape[1], device=labels.device)
        of_label = (F.log_softmax(z_s, dim=1) * F.softmax(z_t, dim=1)).masked_fill(~mask, 0.0)
        return {
            "target": -of_label.sum(dim=1).mean(),
            "transport": self.transport(self.others(z_s, mask), self.others(z_t, mask), mask).mean(),
        }

    def others(self, z: Tensor, mask: Tensor) -> Tensor:
        """Probabilities (B, C) of the classes that are not the label, which has none."""
        return F.softmax((z / self.T).masked_fill(mask, -math.inf), dim=1)

    def transport(self, p: Tensor, q: Tensor, empty: Tensor) -> Tensor:
        """What it costs (B,) to turn the distributions p (B, C) into q (B, C), both zero where `empty`."""
        u = torch.full_like(p, 1.0 / (p.shape[1] - 1)).masked_fill(empty, 0.0)
        for _ in range(self.iterations):
            v = q / (u @ self.kernel + GUARD)
            u = p / (v @ self.kernel.T + GUARD)
        return (u * (v @ self.kernel_cost.T)).sum(dim=1)


class WKDFeatureLoss(nn.Module):
    """Squared Wasserstein distance between Gaussians with diagonal covariances, one per image or grid cell.

    The student's map goes through a convolution to the teacher's shape, BN and ReLU. Lv, Yang, Li:
    "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS 2024,
    section 3.2. https://arxiv.org/abs/2412.08139

    student, teacher: shapes (B, C, H, W); ratio: weight of the means beside the deviations; grid: cells along
    each side; epsilon: added to variances.

    >>> WKDFeatureLoss((2, 4, 8, 8), (2, 6, 8, 8))(torch.randn(2, 4, 8, 8), torch.randn(2, 6, 8, 8)).shape
    torch.Size([])
    """

    def __init__(
        self,
        student: tuple[int, ...],
        teacher: tuple[int, ...],
        ratio: float = 4.0,
        grid: int = 1,
        epsilon: float = 1e-5,
    ):
        super().__init__()
        self.ratio, self.grid, self.epsilon = ratio, grid, epsilon
        self.regressor = Regressor(student, teacher)

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of the student's map (B, C_s, H, W) against the teacher's (B, C_t, H', W')."""
        with autocast_like(f_s):
            regressed = self.regressor(f_s)
        means_s, deviations_s = self.statistics(precise(regressed))
        means_t, deviations_t = self.statistics(precise(f_t.detach()))
        squares = self.ratio * (means_s - means_t).square() + (deviations_s - deviations_t).square()
        return squares.sum() / (len(f_s) * self.grid**2)

    def statistics(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations (B, C, grid, grid) of a map over each cell."""
        cells = feature.unflatten(3, (self.grid, -1)).unflatten(2, (self.grid, -1))
        variances, means = torch.var_mean(cells, dim=(3, 5), correction=1)
        return means, (variances + self.epsilon).sqrt()


def cka_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - linear CKA of features x (N, D) and y (N, D) of two classes: 0 where one is the other, rotated.

    Row n of one is compared with row n of the other. Kornblith et al.: "Similarity of Neural Network
    Representations Revisited", ICML 2019, section 3. https://arxiv.org/abs/1905.00414
    """
    x, y = precise(x) - precise(x).mean(dim=0), precise(y) - precise(y).mean(dim=0)
    own = (x.T @ x).norm() * (y.T @ y).norm()
    return 1.0 - (y.T @ x).square().sum() / own.clamp(min=GUARD**2)


def class_distances(features: Tensor) -> Tensor:
    """Distances (C, C) between classes of features (C, N, D), N rows of each: `cka_distance` of each pair.

    The published rows are the places of the teacher's last map, for all images of a class.

    >>> class_distances(torch.randn(3, 20, 4)).shape
    torch.Size([3, 3])
    """
    x = precise(features.detach())
    x = x - x.mean(dim=1, keepdim=True)
    shared = torch.stack([(own.T @ x).square().sum(dim=(1, 2)) for own in x])
    norms = shared.diagonal().sqrt()
    return 1.0 - shared / (norms[:, None] * norms[None, :]).clamp(min=GUARD**2)


def classifier_distances(weight: Tensor) -> Tensor:
    """Distances (C, C) between classes: 1 - cosine of the rows of a linear classifier's weight (C, D)."""
    rows = unit(precise(weight.detach()), dim=1)
    return 1.0 - rows @ rows.T


def decay(epoch: float, epochs: float, start: float) -> float:
    """The factor of both distances in epoch `epoch` (from 1): 1, and half a cosine from `start` to 0."""
    progress = max(epoch - start, 0.0) / (epochs - start)
    return (1.0 + math.cos(math.pi * min(progress, 1.0))) / 2.0


class WKD(Distiller):
    """WKD on the logits (WKD-L) and on the last stage maps (WKD-F), or on one of them.

    Both distances fade from five eighths of the run on, after epoch 150 of 240.

    Published code: the cost between classes is 1 - CKA of the teacher's features of the training images
    (`class_distances`), which takes a pass over them beforehand: give it as a file, `--wkd_cost`. Without one
    the cost comes from the teacher's classifier, its other choice, with which it fails at the second step,
    for the cost keeps a graph into the teacher; here it is a constant.
    """

    label = "WKD"
    formula = (
        "-p_t,y log p_s,y + gamma W(a_s, a_t) and w (4 sum |mean_s - mean_t|^2 + sum |std_s - std_t|^2); W "
        "ten Sinkhorn iterations"
    )
    weights = LossWeights(1.0, 0.0, 1.0)
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        wkd_part: Annotated[str, PARTS, "WKD: on logits, features or both"] = "both",
        wkd_logits: Annotated[
            float | None, non_negative_float, "WKD: weight on logits (the pair's own)"
        ] = None,
        wkd_features: Annotated[
            float | None, non_negative_float, "WKD: weight on features (the pair's own)"
        ] = None,
        wkd_T: Annotated[float | None, positive_float, "WKD: temperature (the pair's own)"] = None,
        wkd_ratio: Annotated[
            float | None, positive_float, "WKD: means beside deviations (the pair's own)"
        ] = None,
        wkd_grid: Annotated[
            int | None, positive_int, "WKD: cells along a map's side (the pair's own)"
        ] = None,
        wkd_iterations: Annotated[int, positive_int, "WKD: Sinkhorn's iterations"] = 10,
        wkd_regularisation: Annotated[float, positive_float, "WKD: Sinkhorn's regularisation"] = 0.05,
        wkd_sharpen: Annotated[float, non_negative_float, "WKD: sharpening of the cost, 0 for none"] = 1.0,
        wkd_cost: Annotated[Path | None, Path, "WKD: file of class distances (from the classifier)"] = None,
    ):
        super().__init__(example)
        pair = SETTINGS.get((example.student_model, example.teacher_model), OTHER_PAIRS)
        alone = wkd_part != "both"
        weight, temperature = pair.logits_alone if alone else pair.logits
        self.logits_weight = weight if wkd_logits is None else wkd_logits
        weight, ratio = pair.features_alone if alone else pair.features
        self.features_weight = weight if wkd_features is None else wkd_features
        self.logits = self.features = None
        if wkd_part != "features":
            self.logits = WKDLogitLoss(
                _cost(example, wkd_cost),
                wkd_T or temperature,
                wkd_regularisation,
                wkd_iterations,
                wkd_sharpen,
            )
        if wkd_part != "logits":
            shapes = tuple(example.student.maps[-1].shape), tuple(example.teacher.maps[-1].shape)
            grid = wkd_grid or pair.grid
            _check_grid(shapes[1], grid)
            self.features = WKDFeatureLoss(*shapes, wkd_ratio or ratio, grid)
        self.register_buffer("factor", torch.ones(()), persistent=False)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.factor.fill_(decay(epoch + 1, epochs, DECAY_START * epochs))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        terms = {}
        if self.logits is not None:
            both = self.logits(student.logits, teacher.logits, batch.labels)
            terms["target"] = both["target"]
            terms["transport"] = self.logits_weight * self.factor * both["transport"]
        if self.features is not None:
            distance = self.features(student.maps[-1], teacher.maps[-1])
            terms["features"] = self.features_weight * self.factor * distance
        return terms


def _cost(example: Example, path: Path | None) -> Tensor:
    """The (C, C) distances of a file, or those of the teacher's classifier."""
    classes = example.num_classes
    if path is None:
        classifier = getattr(example.teacher_network, "classifier", None)
        if not isinstance(classifier, nn.Linear):
            raise UserError(
                f"wkd takes the distances between classes from the teacher's linear classifier, and "
                f"{example.teacher_model} has none: give them with --wkd_cost"
            )
        return classifier_distances(classifier.weight)
    allowed = f"a file that torch.save made of {classes} x {classes} finite distances"
    try:
        cost = torch.load(path, map_location=example.labels.device, weights_only=True)
    except Exception as error:  # whatever a file that is none of torch's makes of the reader
        reason = type(error).__name__
        raise UserError(f"--wkd_cost {path} cannot be read ({reason}): give {allowed}") from error
    if not isinstance(cost, Tensor) or tuple(cost.shape) != (classes, classes) or not cost.isfinite().all():
        found = tuple(cost.shape) if isinstance(cost, Tensor) else type(cost).__name__
        raise UserError(f"--wkd_cost {path} holds {found}: give {allowed}")
    return cost


def _check_grid(teacher: tuple[int, ...], grid: int) -> None:
    """UserError where the grid does not fit the teacher's map."""
    height, width = teacher[2:]
    if height % grid or width % grid or height * width < 2 * grid**2:
        raise UserError(
            f"--wkd_grid {grid} does not divide the teacher's map of {height} x {width} into cells of 2 "
            "places or more: allowed are whole factors of both sides that leave so many; or use --wkd_part "
            "logits"
        )
