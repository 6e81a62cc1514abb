"""The report as a picture, and the curves of chosen runs in one."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes

from reporting import style
from reporting.fifteen import Measure, by_experiment, find
from reporting.published import EXPERIMENTS
from reporting.rows import Row
from reporting.tables import Group

# name, marker, colour, and the block of the table of experiments
SHOWN = (
    ("student alone", "v", style.GREY, Measure("", "alone", None, "alone")),
    ("KD", "o", style.BLUE, Measure("", "method", "kd", "kd")),
    ("CRD", "s", style.VERMILION, Measure("", "method", "crd", "crd")),
    ("SemCKD", "D", style.GREEN, Measure("", "method", "semckd", "semckd")),
    ("ModReduce wavg, best student", "*", style.INK, Measure("", "best", "wavg", "modreduce")),
)
KIND_COLOURS = {"alone": style.GREY, "control": style.ORANGE, "ensemble": style.INK, "best": style.INK}
MOST_PANELS = 12


def report_figure(groups: Sequence[Group]) -> Any:
    """The fifteen experiments against the published numbers, and a panel for each other pair of networks."""
    repeated = by_experiment(groups)
    others = [group for group in groups if group.key.teacher and not group.key.experiment][:MOST_PANELS]
    heights = [5.6] if repeated or not others else []
    heights += [1.5 + 0.27 * len(group.rows) for group in others]
    figure = style.figure(11.5, sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if len(parts) > len(others):
        _fifteen(parts.pop(0).add_subplot(), repeated)
    for part, group in zip(parts, others, strict=True):
        _panel(part.add_subplot(), group)
    return figure


def _fifteen(axes: Axes, repeated: dict[int, Group]) -> None:
    runs = f"{len(repeated)} of 15 measured here" if repeated else "none measured here yet"
    title = f"The fifteen experiments on CIFAR-100, 240 epochs\nbest epoch; {runs}; hollow: published"
    style.dress(axes, title, "", "Top-1 accuracy on the test set (%)")
    axes.grid(False, axis="x")
    for place, experiment in enumerate(EXPERIMENTS):
        if place % 2:
            axes.axvspan(place - 0.5, place + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
        axes.hlines(
            experiment.teacher_accuracy, place - 0.45, place + 0.45, color=style.GREY, linestyle="-.", lw=1
        )
        for index, (_, marker, colour, block) in enumerate(SHOWN):
            x = place + 0.17 * (index - (len(SHOWN) - 1) / 2)
            size = 11 if marker == "*" else 6.5
            look = {"marker": marker, "markersize": size, "markeredgecolor": colour, "linestyle": "none"}
            axes.plot(x, getattr(experiment, block.published), markerfacecolor="white", alpha=0.75, **look)
            row = find(repeated.get(experiment.number), block)
            if row:
                error = row.deviation("best")
                axes.errorbar(x, row.mean("best"), yerr=error, color=colour, capsize=2, zorder=3, **look)
    names = [f"{e.number}\n{e.teacher}\n{e.student}" for e in EXPERIMENTS]
    axes.set_xticks(range(len(EXPERIMENTS)), names)
    axes.tick_params(axis="x", labelsize=8, length=0)
    axes.set_xlim(-0.5, len(EXPERIMENTS) - 0.5)
    handles = [style.key(name, colour, "none", marker) for name, marker, colour, _ in SHOWN]
    handles.append(style.key("teacher (published)", style.GREY, "-.", width=1))
    style.legend(axes, handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=6)


def _panel(axes: Axes, group: Group) -> None:
    key = group.key
    images = "all images" if key.train_size is None else f"{key.train_size} images"
    title = (
        f"{key.teacher} → {key.student}\n{key.dataset}, {key.epochs} epochs, {images}, batch {key.batch_size}"
    )
    style.dress(axes, title, "Top-1 accuracy on the test set (%)", "")
    axes.grid(False, axis="y")
    rows = [row for row in group.rows if row.samples]
    for place, row in enumerate(rows):
        method = row.what if row.kind in ("offline", "single") else None
        colour = KIND_COLOURS.get(row.kind) or style.COLOURS.get(str(method), style.SKY)
        for which, face in (("last", "white"), ("best", colour)):
            error = row.deviation(which)
            look = {
                "marker": "*" if row.kind == "best" else "o",
                "markersize": 10 if row.kind == "best" else 6,
            }
            axes.errorbar(
                row.mean(which), place, xerr=error, color=colour, markerfacecolor=face, capsize=2,
                linestyle="none", **look,
            )  # fmt: skip
    titles = [f"{row.title}  ({len(row.samples)})" for row in rows]
    axes.set_yticks(range(len(rows)), titles)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for place, (row, after) in enumerate(pairwise(rows)):
        if _block(row) != _block(after):
            axes.axhline(place + 0.5, color=style.GRID, linewidth=0.8)
    handles = [
        style.key("last epoch", style.GREY, "none", "o"),
        style.key("best epoch", style.GREY, "none", "o"),
    ]
    handles[0].set_markerfacecolor("white")
    handles.append(style.key("(n): number of runs", "none", width=0))
    if group.teacher_accuracies:
        teacher = sum(group.teacher_accuracies) / len(group.teacher_accuracies)
        spread = [value for row in rows for value in (row.mean("last"), row.mean("best"))]
        if teacher < max(spread) + 2 * (max(spread) - min(spread) + 1):
            axes.axvline(teacher, color=style.GREY, linestyle="-.", linewidth=1.2)
        handles.append(style.key(f"teacher ({teacher:.2f})", style.GREY, "-.", width=1.2))
    style.legend(axes, handles)


def _block(row: Row) -> tuple:
    """Equal for rows that belong together."""
    is_online = row.kind in ("student", "ensemble", "best")
    return (row.what, row.variant) if is_online else (row.kind == "alone",)
