"""The pictures of what networks take each class for, for two classes and for a thousand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helper.results import Results
from reporting import style
from reporting.run_plots import headline, titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 40  # classes of which each has a name in a picture
MOST_NUMBERS = 15  # classes whose cells have room for a number
LISTED = 20
MOST_CELLS = 250  # along a side: more would be less than a pixel each
LONGEST_NAME = 22
PERCENT_TICKS = (0, 1, 5, 20, 50, 100)


def accuracy_figure(
    accuracies: Mapping[str, np.ndarray], class_names: Sequence[str], results: Results | None = None
) -> Figure:
    """The accuracy of every class by network, the worst on top; of many classes the curve of all, sorted, and
    the LISTED worst by name.

    accuracies: by the networks' names, (C,) in percent, NaN for a class without images.
    """
    mean = np.mean(list(accuracies.values()), axis=0)
    order = np.argsort(mean, kind="stable")
    order = order[~np.isnan(mean[order])]
    named = order if len(class_names) <= MOST_NAMED else order[:LISTED]
    title = headline("Accuracy by class", results)
    palette, shapes = style.colours(accuracies), style.markers(accuracies)
    called = titles(list(accuracies), results)
    alone = len(named) == len(order)
    if alone:
        figure = style.figure(7.2, 1.6 + 0.24 * max(len(named), 4))
        panel = style.axes(figure, title, "Top-1 accuracy (%)", "Class")
    else:
        figure = style.figure(12.4, 5.8)
        curves = style.axes(figure, title, "Classes, the worst first", "Top-1 accuracy (%)", 121)
        for name, values in accuracies.items():
            curves.plot(np.sort(values[~np.isnan(values)]), color=palette[name], linewidth=2)
        panel = style.axes(figure, f"The {len(named)} worst of {len(order)}", "Top-1 accuracy (%)", "", 122)
    # side by side within a class, so that equal ones do not hide each other
    shifts = np.linspace(-0.27, 0.27, len(accuracies)) if len(accuracies) > 1 else [0.0]
    for shift, (name, values) in zip(shifts, accuracies.items(), strict=True):
        look = {"color": palette[name], "markersize": 6, "markeredgecolor": "white"}
        panel.plot(values[named], np.arange(len(named)) + shift, shapes[name], **look)
    panel.set_yticks(range(len(named)), [short(class_names[k]) for k in named])
    panel.set_ylim(len(named) - 0.4, -0.6)
    panel.set_xlim(right=101.5)
    for text in panel.get_yticklabels():
        text.set_parse_math(False)
    line = "" if alone else "-"
    style.legend(
        panel, [style.legend_line(called[name], palette[name], line, shapes[name]) for name in accuracies]
    )
    return figure


def confusion_figure(
    counts: np.ndarray, name: str, class_names: Sequence[str], results: Results | None = None
) -> Figure:
    """The share of each class (rows) that a network takes for each (columns); of many classes without names,
    but with the LISTED most frequent confusions beside it.

    counts: (C, C), rows true, columns predicted.
    """
    count = len(counts)
    called = titles([name], results)[name]
    title = headline(f"What {called} takes each class for", results)
    if count <= MOST_NAMED:
        size = max(3.2, 0.42 * count if count <= MOST_NUMBERS else 0.22 * count)
        figure = style.figure(size + 2.6, size + 1.6)
        panel = style.axes(figure, title, "Predicted", "True")
        image = _shares(panel, counts)
        short_names = [short(each) for each in class_names]
        panel.set_xticks(range(count), short_names, rotation=40, ha="right", rotation_mode="anchor")
        panel.set_yticks(range(count), short_names)
        for text in (*panel.get_xticklabels(), *panel.get_yticklabels()):
            text.set_parse_math(False)
        if count <= MOST_NUMBERS:
            _write_numbers(panel, counts)
    else:
        figure = style.figure(12.4, 6.4)
        merged = math.ceil(count / MOST_CELLS)
        cells = f" (a cell is {merged} x {merged} classes)" if merged > 1 else ""
        panel = style.axes(figure, title, f"Predicted{cells}", "True", 121)
        image = _shares(panel, in_blocks(counts, merged))
        panel.set_xticks([])
        panel.set_yticks([])
        _list_confusions(
            style.axes(figure, "The most frequent confusions", "Images", "", 122), counts, class_names
        )
    bar = figure.colorbar(image, ax=panel, shrink=0.8, pad=0.02, ticks=PERCENT_TICKS)
    bar.set_label("Share of the true class (%)", fontsize=9.5)
    bar.ax.tick_params(labelsize=9)
    return figure


def _shares(panel: Axes, counts: np.ndarray) -> Any:
    """Draw the rows in percent, small shares told apart too."""
    from matplotlib.colors import PowerNorm

    panel.grid(False)
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    return panel.imshow(in_percent(counts), cmap="Blues", norm=norm, interpolation="nearest")


def _write_numbers(panel: Axes, counts: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(in_percent(counts)):
        if counts[row, column]:
            ink = "white" if share > 30 else style.INK
            text = f"{share:.0f}" if share >= 1 else "<1"
            panel.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)


def _list_confusions(panel: Axes, counts: np.ndarray, class_names: Sequence[str]) -> None:
    """The most frequent confusions as bars, the largest on top: the class, an arrow, what it is taken for."""
    found = most_frequent(counts)
    panel.barh(range(len(found)), [counts[pair] for pair in found], 0.7, color=style.mixed(style.VERMILION))
    for place, pair in enumerate(found):
        text = f"{counts[pair]} of {counts[pair[0]].sum()}"
        look = {"fontsize": 8, "color": style.INK, "va": "center"}
        panel.annotate(text, (counts[pair], place), (4, 0), "data", "offset points", **look)
    names = [f"{short(class_names[true])} → {short(class_names[taken])}" for true, taken in found]
    panel.set_yticks(range(len(found)), names, fontsize=8)
    for text in panel.get_yticklabels():
        text.set_parse_math(False)
    panel.set_ylim(LISTED - 0.4, -0.6)
    panel.set_xlim(0, 1.25 * max((counts[pair] for pair in found), default=1))
    panel.grid(False, axis="y")


def most_frequent(counts: np.ndarray) -> list[tuple[int, int]]:
    """The LISTED most frequent pairs (true, predicted) of different classes, those that occur, largest
    first.
    """
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    pairs = [tuple(map(int, np.unravel_index(place, wrong.shape))) for place in order]
    return [pair for pair in pairs if wrong[pair]]


def in_blocks(counts: np.ndarray, size: int) -> np.ndarray:
    """The counts of so many neighbouring classes together, along both sides."""
    edges = np.arange(0, len(counts), size)
    return np.add.reduceat(np.add.reduceat(counts, edges, axis=0), edges, axis=1)


def in_percent(counts: np.ndarray) -> np.ndarray:
    """Each row's shares of its sum; 0 where there is nothing."""
    sums = counts.sum(axis=1, keepdims=True)
    return np.divide(100.0 * counts, sums, out=np.zeros(counts.shape), where=sums > 0)


def short(name: str) -> str:
    """A class's name on one line, cut if it is long."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
