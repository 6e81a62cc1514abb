"""The report as a picture: the fifteen experiments, and a panel for each other pair of networks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from reporting import style
from reporting.published import EXPERIMENTS, PUBLISHED_ENSEMBLE, PUBLISHED_METHODS, STANDARD_GROUP
from reporting.tables import ONLINE, chosen, single_methods

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12


def report_figure(rows: pd.DataFrame) -> Figure:
    """The fifteen experiments against the published numbers, and a panel for each other pair of networks."""
    repeated = rows[rows.experiment > 0]
    others = [table for _, table in rows[(rows.experiment == 0) & rows.compared].groupby("table")]
    others = others[:MOST_PANELS]
    heights = [5.6] if not (repeated.empty and others) else []
    heights += [1.5 + 0.27 * len(table) for table in others]
    figure = style.figure(11.5, sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    labels = rows.label[rows.kind.isin(("offline", "single", "student"))]
    palette = style.colours([*(PUBLISHED_METHODS[name] for name in STANDARD_GROUP), *labels])
    if len(parts) > len(others):
        _fifteen(parts.pop(0).add_subplot(), repeated, palette)
    for part, table in zip(parts, others, strict=True):
        _panel(part.add_subplot(), table, palette)
    return figure


def _fifteen(axes: Axes, rows: pd.DataFrame, palette: Mapping[str, Any]) -> None:
    count = rows.experiment.nunique()
    runs = f"{count} of 15 measured here" if count else "none measured here yet"
    title = f"The fifteen experiments on CIFAR-100, 240 epochs\nbest epoch; {runs}; hollow: published"
    style.set_style(axes, title, "", "Top-1 accuracy on the test set (%)")
    axes.grid(False, axis="x")
    # field of the published numbers, name, marker, colour, and the rows that are measured beside them
    picked, single = chosen(rows), single_methods(rows)
    shown = [("alone", "student alone", "v", style.GREY, picked[picked.kind == "alone"])]
    shown += [
        (name, label, marker, palette[label], single[single.what == name])
        for (name, label), marker in zip(PUBLISHED_METHODS.items(), "oDs", strict=True)
    ]
    ours = picked[(picked.kind == "best") & (picked.what == PUBLISHED_ENSEMBLE)]
    shown.append(("modreduce", f"ModReduce {PUBLISHED_ENSEMBLE}, best student", "*", style.INK, ours))
    for place, experiment in enumerate(EXPERIMENTS):
        if place % 2:
            axes.axvspan(place - 0.5, place + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
        ends = place - 0.45, place + 0.45
        axes.hlines(experiment.teacher_accuracy, *ends, color=style.GREY, linestyle="-.", lw=1)
        for index, (published, _, marker, colour, measured) in enumerate(shown):
            x = place + 0.17 * (index - (len(shown) - 1) / 2)
            look = {"marker": marker, "markersize": 11 if marker == "*" else 6.5, "linestyle": "none"}
            look["markeredgecolor"] = colour
            axes.plot(x, getattr(experiment, published), markerfacecolor="white", alpha=0.75, **look)
            for row in measured[measured.experiment == experiment.number].itertuples():
                axes.errorbar(x, row.best_mean, yerr=row.best_std, color=colour, capsize=2, zorder=3, **look)
    names = [f"{e.number}\n{e.teacher}\n{e.student}" for e in EXPERIMENTS]
    axes.set_xticks(range(len(EXPERIMENTS)), names)
    axes.tick_params(axis="x", labelsize=8, length=0)
    axes.set_xlim(-0.5, len(EXPERIMENTS) - 0.5)
    handles = [style.legend_line(name, colour, "none", marker) for _, name, marker, colour, _ in shown]
    handles.append(style.legend_line("teacher (published)", style.GREY, "-.", width=1))
    style.legend(axes, handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=6)


def _panel(axes: Axes, rows: pd.DataFrame, palette: Mapping[str, Any]) -> None:
    table = rows.iloc[0]
    images = f"{table.train_size} images" if table.train_size else "all images"
    details = f"{table.dataset}, {table.epochs} epochs, {images}, batch {table.batch_size}"
    if table.teacher_sha256:
        details += f", teacher {table.teacher_sha256[:8]}"
    pair = f"{table.teacher} → {table.student}" if table.teacher else f"{table.student} without a teacher"
    style.set_style(axes, f"{pair}\n{details}", "Top-1 accuracy on the test set (%)", "")
    axes.grid(False, axis="y")
    teacher = rows.last_mean[rows.kind == "teacher"]
    rows = rows[(rows.kind != "teacher") & rows.last_mean.notna()]
    kinds = {"alone": style.GREY, "control": style.GREY, "ensemble": style.INK, "best": style.INK}
    for place, row in enumerate(rows.itertuples()):
        colour = kinds.get(row.kind) or palette[row.label]
        look = {"marker": "o", "markersize": 6, "color": colour, "capsize": 2, "linestyle": "none"}
        if row.kind == "best":
            look |= {"marker": "*", "markersize": 10}
        axes.errorbar(row.last_mean, place, xerr=row.last_std, markerfacecolor="white", **look)
        axes.errorbar(row.best_mean, place, xerr=row.best_std, markerfacecolor=colour, **look)
    titles = [
        f"{row.row} [{row.variant}]  ({row.runs})" if row.variant else f"{row.row}  ({row.runs})"
        for row in rows.itertuples()
    ]
    axes.set_yticks(range(len(rows)), titles)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    blocks = [
        (row.what, row.variant) if row.kind in ONLINE else row.kind == "alone" for row in rows.itertuples()
    ]
    for place, (block, after) in enumerate(pairwise(blocks)):
        if block != after:
            axes.axhline(place + 0.5, color=style.GRID, linewidth=0.8)
    handles = [style.legend_line(f"{which} epoch", style.GREY, "none", "o") for which in ("last", "best")]
    handles[0].set_markerfacecolor("white")
    handles.append(style.legend_line("(n): number of runs", "none", width=0))
    if len(teacher):
        accuracy, values = teacher.iloc[0], rows[["last_mean", "best_mean"]].stack()
        if accuracy < values.max() + 2 * (values.max() - values.min() + 1):
            axes.axvline(accuracy, color=style.GREY, linestyle="-.", linewidth=1.2)
        handles.append(style.legend_line(f"teacher ({accuracy:.2f})", style.GREY, "-.", width=1.2))
    style.legend(axes, handles)
