"""The pictures of one run, drawn from its metrics.csv and results.json into its folder `plots`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helper.results import ENSEMBLE, Results
from reporting import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WIDE_BARS = 8
MetricsRow = Mapping[str, Any]


def series(rows: Sequence[MetricsRow], student: str, column: str) -> tuple[list[int], list[float]]:
    """Epochs and values of one student's column, cells without a finite number left out."""
    cells = [(int(row["epoch"]), row.get(column)) for row in rows if row["student"] == student]
    pairs = sorted((epoch, float(value)) for epoch, value in cells if value not in (None, ""))
    pairs = [pair for pair in pairs if math.isfinite(pair[1])]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def students_of(rows: Sequence[MetricsRow]) -> list[str]:
    """The students' names in the order of the file, the ensemble last."""
    names = list(dict.fromkeys(row["student"] for row in rows))
    return sorted(names, key=lambda name: name == ENSEMBLE)


def titles(names: Sequence[str], results: Results | None) -> dict[str, str]:
    """What figures call each student: its method's label where the results have one, else its name."""
    known = {student.name: student.title for student in results.students} if results else {}
    return {name: known.get(name, name) for name in names}


def plot_run(
    folder: Path, rows: Sequence[MetricsRow], results: Results | Mapping[str, Any] | None
) -> list[Path]:
    """Draw what the run has to show; the paths of the PNGs in `folder / "plots"`, none without a row.

    rows: the columns of metrics.csv, numbers or None or ''. results: those of the run, or None before its
    end. Raises UserError when the folder cannot be written.
    """
    if not rows:
        return []
    results = None if results is None else Results.of(results)
    drawn = {
        "accuracy": accuracy_curves(rows, results),
        "loss": loss_curves(rows, results),
        "ensemble_weights": ensemble_weights(rows, results),
        "online_weight": online_weights(rows, results),
        "final_accuracy": final_accuracy(rows, results),
    }
    plots = Path(folder) / "plots"
    return [style.save(figure, plots / f"{name}.png") for name, figure in drawn.items() if figure is not None]


def headline(what: str, results: Results | None) -> str:
    """A title that says which networks and data the figure is of, as far as known."""
    if not results:
        return what
    models = ", ".join(dict.fromkeys(student.model for student in results.students))
    pair = f"{results.teacher.model} → {models}" if results.teacher else models
    online = f", {results.ensemble.online}" if results.ensemble else ""
    return f"{what}\n{pair} ({results.dataset}{online})"


def add_teacher(target: Axes, handles: list[Artist], results: Results | None, **look: Any) -> None:
    """The teacher's accuracy as a line across and an entry of the legend, if the run knows it."""
    if results and results.teacher and (accuracy := results.teacher.test_acc) is not None:
        target.axhline(accuracy, color=style.INK, linewidth=1.3, linestyle="-.", **look)
        handles.append(style.legend_line(f"teacher ({accuracy:.2f})", style.INK, "-.", width=1.3))


def curves(
    rows: Sequence[MetricsRow], results: Results | None, quantity: str, title: str, y_label: str
) -> tuple[Figure, Axes, list[Artist]] | None:
    """Train (dashed), validation (dotted) and test (solid) curves of 'loss' or 'acc' per student.

    Figure, axes and the legend's entries, or None if there is nothing to draw.
    """
    names, lines, handles = students_of(rows), {"test": "-", "train": "--", "val": ":"}, []
    palette, shapes = style.colours(names), style.markers(names)
    present = {
        part: [name for name in names if series(rows, name, f"{part}_{quantity}")[0]] for part in lines
    }
    if not any(present.values()):
        return None
    figure = style.figure()
    axes = style.axes(figure, title, "Epoch", y_label)
    every_epoch = [int(row["epoch"]) for row in rows]
    shape_every = max(1, (max(every_epoch) - min(every_epoch)) // 8)
    for part, line in lines.items():
        for name in present[part]:
            epochs, values = series(rows, name, f"{part}_{quantity}")
            marker = shapes[name] if part == "test" or len(epochs) == 1 else ""
            width, filled = (2.0, palette[name]) if part == "test" else (1.2, "white")
            axes.plot(
                epochs, values, line, color=palette[name], linewidth=width, marker=marker, markersize=5,
                markevery=shape_every, markerfacecolor=filled,
            )  # fmt: skip
    shown = [name for name in names if any(name in present[part] for part in lines)]
    called = titles(names, results)
    handles += [style.legend_line(called[name], palette[name], marker=shapes[name]) for name in shown]
    words = {"test": "test", "train": "training", "val": "held out"}
    handles += [
        style.legend_line(words[part], style.GREY, line, width=1.5)
        for part, line in lines.items()
        if present[part]
    ]
    style.epoch_axis(axes, every_epoch)
    return figure, axes, handles


def accuracy_curves(rows: Sequence[MetricsRow], results: Results | None) -> Figure | None:
    """Top-1 accuracy against epochs per student and ensemble, the teacher as a line across."""
    drawn = curves(rows, results, "acc", headline("Accuracy", results), "Top-1 accuracy (%)")
    if drawn is None:
        return None
    figure, axes, handles = drawn
    add_teacher(axes, handles, results)
    style.legend(axes, handles)
    return figure


def loss_curves(rows: Sequence[MetricsRow], results: Results | None) -> Figure | None:
    """Loss against epochs per student and ensemble; logarithmic when the students' scales differ much."""
    drawn = curves(rows, results, "loss", headline("Loss", results), "Loss")
    if drawn is None:
        return None
    figure, axes, handles = drawn
    values = [value for line in axes.get_lines() for value in line.get_ydata()]
    if min(values) > 0 and max(values) > 20 * min(values):
        style.logarithmic(axes)
        axes.set_ylabel("Loss (logarithmic)")
    taught = results is None or results.teacher is not None
    if taught and any(series(rows, name, "train_loss")[0] for name in students_of(rows)):
        handles.append(style.legend_line("(training: weighted sum\nof all terms)", "none", width=0))
    style.legend(axes, handles)
    return figure


def ensemble_weights(rows: Sequence[MetricsRow], results: Results | None) -> Figure | None:
    """Each student's weight in the fused logits against epochs; None if the ensemble has no weights."""
    names = [name for name in students_of(rows) if series(rows, name, "ensemble_weight")[0]]
    if not names:
        return None
    figure = style.figure()
    axes = style.axes(figure, headline("Ensemble weights", results), "Epoch", "Weight in the fused logits")
    palette, shapes, called = style.colours(names), style.markers(names), titles(names, results)
    for name in names:
        epochs, values = series(rows, name, "ensemble_weight")
        axes.plot(
            epochs, values, color=palette[name], linewidth=2, marker=shapes[name], markersize=5,
            markevery=max(1, len(epochs) // 8), label=called[name],
        )  # fmt: skip
    equal = 1 / len(names)
    axes.axhline(equal, color=style.GREY, linestyle=":", linewidth=1.3, label=f"equal (1/{len(names)})")
    style.epoch_axis(axes, [int(row["epoch"]) for row in rows])
    top = max(max(series(rows, name, "ensemble_weight")[1]) for name in names)
    axes.set_ylim(0, min(1.02, max(top * 1.15, 1.3 * equal)))
    style.legend(axes)
    return figure


def online_weights(rows: Sequence[MetricsRow], results: Results | None) -> Figure | None:
    """The weight of the online loss against epochs; None for a run without an online loss."""
    values: dict[int, float] = {}
    for name in students_of(rows):
        values |= dict(zip(*series(rows, name, "online_weight"), strict=True))
    if not any(weight > 0 for weight in values.values()):
        return None
    title = headline("Weight of the online loss", results)
    return schedule_figure(sorted(values), [values[epoch] for epoch in sorted(values)], title)


def schedule_figure(epochs: Sequence[int], weights: Sequence[float], title: str) -> Figure:
    """A weight that is constant within an epoch, as steps; the offline loss has what is left to 1.

    epochs from 1.
    """
    figure = style.figure(6.6, 3.8)
    axes = style.axes(figure, title, "Epoch", "Weight w (of the offline loss: 1 - w)")
    edges = [*(epoch - 0.5 for epoch in epochs), epochs[-1] + 0.5]
    axes.stairs(weights, edges, color=style.BLUE, alpha=0.12, fill=True)
    axes.stairs(weights, edges, color=style.BLUE, linewidth=2, baseline=None)
    style.epoch_axis(axes, epochs)
    axes.set_ylim(0, max(weights) * 1.12)
    for place, across in ((0, "left"), (-1, "right"))[: len(epochs)]:
        look = {"fontsize": 9, "color": style.INK, "ha": across}
        where = (epochs[place], weights[place])
        axes.annotate(f"{weights[place]:.3g}", where, (0, 5), "data", "offset points", **look)
    return figure


def final_accuracies(rows: Sequence[MetricsRow], results: Results | None) -> list[tuple[str, float, float]]:
    """(name, last, best) test accuracy in percent per student and ensemble, of the results, else the rows."""
    if results is None:
        tests = {name: series(rows, name, "test_acc")[1] for name in students_of(rows)}
        return [(name, values[-1], max(values)) for name, values in tests.items() if values]
    scores = [(student.name, student) for student in results.students]
    scores += [(ENSEMBLE, results.ensemble)] if results.ensemble else []
    return [(name, score.test_acc_last, score.test_acc_best) for name, score in scores]


def final_accuracy(rows: Sequence[MetricsRow], results: Results | None) -> Figure | None:
    """Bars of the last and the best epoch's accuracy per student and ensemble, the teacher as a line."""
    finals = final_accuracies(rows, results)
    teacher = results.teacher.test_acc if results and results.teacher else None
    if not finals:
        return None
    crowded = len(finals) > MOST_WIDE_BARS
    figure = style.figure(max(5.2, 2.6 + (0.7 if crowded else 1.15) * len(finals)), 4.2)
    axes = style.axes(figure, headline("Final accuracy", results), "", "Top-1 accuracy on the test set (%)")
    axes.grid(False, axis="x")
    names = [name for name, _, _ in finals]
    palette, called = style.colours(names), titles(names, results)
    every = [value for _, last, best in finals for value in (last, best)] + ([teacher] if teacher else [])
    spread = max(every) - min(every)
    bottom = max(0.0, min(every) - max(2.0, spread)) if min(every) > 40 else 0.0
    axes.set_ylim(bottom, max(every) + 0.14 * (max(every) - bottom))
    top = axes.get_ylim()[1]
    for place, (name, last, best) in enumerate(finals):
        for shift, value, colour in ((-0.2, last, style.mixed(palette[name])), (0.2, best, palette[name])):
            axes.bar(place + shift, value, 0.38, color=colour)
            # inside the bar, where the teacher's line cannot cross it, unless the bar is too low
            inside = value - bottom > 0.1 * (top - bottom)
            ink = style.ink_on(colour) if inside else style.INK
            look = {
                "ha": "center",
                "va": "top" if inside else "bottom",
                "fontsize": 7 if crowded else 9,
                "color": ink,
            }
            offset = (0, -4 if inside else 3)
            axes.annotate(f"{value:.1f}", (place + shift, value), offset, "data", "offset points", **look)
    axes.set_xticks(range(len(finals)), [called[name] for name in names])
    if crowded:
        axes.tick_params(axis="x", labelrotation=40)
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    if bottom:
        axes.set_ylabel(f"Top-1 accuracy on the test set (%), from {bottom:.0f}")
    handles = [style.legend_bar("last epoch", style.mixed(style.GREY))]
    handles.append(style.legend_bar("best epoch", style.GREY))
    add_teacher(axes, handles, results, zorder=0.5)
    axes.set_xlim(-0.6, len(finals) - 0.4)
    style.legend(axes, handles)
    return figure
