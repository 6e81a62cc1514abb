"""Figures worth a paper: what students take over from their teacher, seen in logits and features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helper.batch import Batch
from reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_MAP = 8
CLASS_COLOURS = (
    *(style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.PURPLE),
    *(style.SKY, style.INK, "#8C6D31", "#5E3C99", style.GREY),
)


class NetworkOutputs(NamedTuple):
    """What a network says of n images: its name, layers as (n, D) float32, logits (n, C), labels (n,)."""

    name: str
    layers: dict[str, np.ndarray]
    logits: np.ndarray
    labels: np.ndarray


@torch.no_grad()
def network_outputs(network: nn.Module, name: str, batches: Iterable[Batch]) -> NetworkOutputs:
    """Run a network over the batches; feature maps are averaged to at most 8 x 8 to fit into the memory."""
    network.eval()
    layers: dict[str, list[Tensor]] = {}
    logits, labels = [], []
    for batch in batches:
        features, outputs = network(batch.images, is_feat=True)
        names = ["stem", *(f"stage {place}" for place in range(1, len(features) - 1)), "embedding"]
        for layer, feature in zip(names, features, strict=True):
            layers.setdefault(layer, []).append(_flat(feature).float().cpu())
        logits.append(outputs.float().cpu())
        labels.append(batch.labels.cpu())
    joined = {layer: torch.cat(parts).numpy() for layer, parts in layers.items()}
    all_logits = torch.cat(logits).numpy()
    return NetworkOutputs(name, joined | {"logits": all_logits}, all_logits, torch.cat(labels).numpy())


def _flat(feature: Tensor) -> Tensor:
    """(B, C, H, W) or (B, D) to (B, D), maps averaged to at most 8 x 8."""
    if feature.dim() == 4 and feature.shape[-1] > LARGEST_MAP:
        feature = F.adaptive_avg_pool2d(feature.float(), LARGEST_MAP)
    return feature.flatten(1)


def correlations(logits: np.ndarray) -> np.ndarray:
    """Correlation of every class's logit with every other's over the images: (n, C) to (C, C).

    A class whose logit never changes correlates with nothing.
    """
    centred = logits.astype(np.float64) - logits.mean(axis=0, dtype=np.float64)
    sizes = np.sqrt((centred**2).sum(axis=0))
    units = np.divide(centred, sizes, out=np.zeros_like(centred), where=sizes > 0)
    return units.T @ units


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Similarity from 0 to 1 of two layers (n, D1), (n, D2) of the same n images, whatever their rotation and
    size.

    Linear centred kernel alignment through the n x n inner products: Kornblith et al., "Similarity of Neural
    Network Representations Revisited", 2019.
    """
    return _alignment(_gram(first), _gram(second))


def _gram(layer: np.ndarray) -> np.ndarray:
    """Centred inner products (n, n)."""
    centred = layer.astype(np.float64) - layer.mean(axis=0, dtype=np.float64)
    return centred @ centred.T


def _alignment(first: np.ndarray, second: np.ndarray) -> float:
    sizes = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / sizes) if sizes else 0.0


def correlation_figure(teacher: NetworkOutputs, students: Sequence[NetworkOutputs]) -> Figure:
    """Student's minus teacher's class correlations, a panel per student, the mean size of it in the title.

    As in the CRD paper (Tian, Krishnan, Isola, "Contrastive Representation Distillation", 2020).
    """
    target = correlations(teacher.logits)
    differences = [correlations(student.logits) - target for student in students]
    limit = max(float(np.quantile(np.abs(d), 0.995)) for d in differences) or 1.0
    figure, panels = _panels(len(students), 3.5, 4.1)
    for panel, student, difference in zip(panels, students, differences, strict=True):
        title = f"{student.name}\nmean absolute difference {np.abs(difference).mean():.3f}"
        style.set_style(panel, title, "Class", "Class")
        panel.grid(False)
        image = panel.imshow(difference, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    bar = figure.colorbar(image, ax=panels, shrink=0.75, pad=0.02)
    bar.set_label(f"Correlation of logits: student - {teacher.name}", fontsize=9.5)
    bar.ax.tick_params(labelsize=9)
    return figure


def cka_figure(teacher: NetworkOutputs, students: Sequence[NetworkOutputs]) -> Figure:
    """Linear CKA of every layer of each student with every layer of the teacher."""
    theirs = {layer: _gram(values) for layer, values in teacher.layers.items()}
    figure, panels = _panels(len(students), 3.9, 4.0)
    for panel, student in zip(panels, students, strict=True):
        own = {layer: _gram(values) for layer, values in student.layers.items()}
        values = np.array([[_alignment(a, b) for b in theirs.values()] for a in own.values()])
        title = f"{student.name}\nlinear CKA of the logits {values[-1, -1]:.3f}"
        style.set_style(panel, title, f"Layers of the {teacher.name}", "Layers of the student")
        panel.grid(False)
        image = panel.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        panel.set_xticks(range(len(theirs)), list(theirs), rotation=40, ha="right", rotation_mode="anchor")
        panel.set_yticks(range(len(own)), list(own))
        for (row, column), value in np.ndenumerate(values):
            ink = "white" if value < 0.45 else "black"
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
    bar = figure.colorbar(image, ax=panels, shrink=0.8, pad=0.02)
    bar.set_label("Linear CKA", fontsize=9.5)
    bar.ax.tick_params(labelsize=9)
    return figure


def tsne_figure(networks: Sequence[NetworkOutputs], seed: int) -> Figure:
    """The embeddings of the networks in the plane, a panel each, a colour and a shape per class.

    van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008.
    """
    from sklearn.manifold import TSNE  # slow to import, and only needed here

    figure, panels = _panels(len(networks), 3.4, 3.9)
    classes = sorted(set(networks[0].labels.tolist()))
    for panel, network in zip(panels, networks, strict=True):
        points = network.layers["embedding"]
        perplexity = min(30.0, max(1.0, (len(points) - 1) / 3))
        places = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(points)
        style.set_style(panel, network.name, "", "")
        panel.grid(False)
        panel.set_xticks([])
        panel.set_yticks([])
        for place, number in enumerate(classes):
            of_class = network.labels == number
            panel.plot(
                places[of_class, 0], places[of_class, 1], style.MARKERS[place % len(style.MARKERS)],
                color=CLASS_COLOURS[place % len(CLASS_COLOURS)], markersize=3.2, alpha=0.75,
                markeredgewidth=0, label=str(number),
            )  # fmt: skip
    style.legend(panels[len(panels) - 1], title="Class", markerscale=2, title_fontsize=9)
    return figure


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with that many equal panels, at most four in a row."""
    columns = min(count, 4)
    rows = math.ceil(count / columns)
    figure = style.figure(width * columns + 1.2, height * rows)
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
