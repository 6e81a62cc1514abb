"""Curves over epochs, of one run or of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helper.errors import UserError
from helper.results import METRICS_FILE, RESULTS, Results, read_metrics
from reporting import style
from reporting.run_plots import ensemble_weights, schedule_figure, series, students_of, titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG_LABEL = 28


def curves_figure(folders: Sequence[Path], chosen: Sequence[str] = ()) -> Figure:
    """Test accuracy against epochs of several runs in one picture; `chosen`: only these students' curves.

    Raises UserError when a folder has no metrics.csv or no run has such a student.
    """
    runs = {folder: read_metrics(folder / METRICS_FILE) for folder in folders}
    names = list(dict.fromkeys(name for rows in runs.values() for name in students_of(rows)))
    if unknown := [name for name in chosen if name not in names]:
        raise UserError(
            f"--students {unknown[0]} is in none of these runs; their students are {', '.join(names)}"
        )
    short, shared = short_names([folder.resolve().name for folder in folders])
    palette, shapes = style.colours(short), style.markers(names)
    if len(runs) == 1:
        palette = style.colours(names)
    figure = style.figure(8.4, 4.6)
    axes = style.axes(
        figure, f"Test accuracy\n{shared}" if shared else "Test accuracy", "Epoch", "Top-1 accuracy (%)"
    )
    every: list[int] = []
    for run_name, (folder, rows) in zip(short, runs.items(), strict=True):
        called = titles(students_of(rows), results_of(folder))
        for name in students_of(rows):
            epochs, values = series(rows, name, "test_acc")
            if not epochs or (chosen and name not in chosen):
                continue
            every += epochs
            colour = palette[name if len(runs) == 1 else run_name]
            text = called[name] if len(runs) == 1 else f"{run_name}: {called[name]}"
            axes.plot(
                epochs, values, color=colour, marker=shapes[name], markersize=4.5, linewidth=1.6,
                markevery=max(1, len(epochs) // 8), linestyle="--" if name == "ensemble" else "-", label=text,
            )  # fmt: skip
    if not every:
        raise UserError(f"no epoch is finished in {', '.join(map(str, folders))}: nothing to draw")
    style.epoch_axis(axes, every)
    texts = [line.get_label() for line in axes.get_lines()]
    if max(map(len, texts)) > LONG_LABEL:
        figure.set_size_inches(8.4, 4.6 + 0.2 * len(texts))
        style.legend(axes, loc="upper left", bbox_to_anchor=(0, -0.14))
    else:
        style.legend(axes)
    return figure


def short_names(names: Sequence[str]) -> tuple[list[str], str]:
    """What tells the names apart, word by word, and the words that they share in front."""
    words = [name.split("_") for name in names]
    front = _shared_words(words)
    rest = [name[front:] for name in words]
    back = _shared_words([name[::-1] for name in rest])
    short = ["_".join(name[: len(name) - back]) for name in rest]
    if len(set(short)) < len(short) or not all(short):
        short = ["_".join(name) or "_".join(whole[-2:]) for name, whole in zip(rest, words, strict=True)]
    if len(set(short)) < len(short):
        short = [f"{name} ({place})" for place, name in enumerate(short, start=1)]
    return short, "_".join(words[0][:front])


def _shared_words(names: Sequence[Sequence[str]]) -> int:
    """How many words in front are the same in all names."""
    columns = zip(*names, strict=False)
    return next((place for place, words in enumerate(columns) if len(set(words)) > 1), min(map(len, names)))


def results_of(run: Path) -> Results | None:
    """The results of the run in this folder; None before its end."""
    path = run / RESULTS
    return Results.read(path) if path.exists() else None


def weights_figure(run: Path) -> Figure | None:
    """The ensemble's weights of a run over its epochs; None if its ensemble has none."""
    return ensemble_weights(read_metrics(run / METRICS_FILE), results_of(run))


def online_schedule_figure(weights: Sequence[float]) -> Figure:
    """The online weight of each epoch of a run, from epoch 1."""
    title = f"Weight of the online loss\n{len(weights)} epochs"
    return schedule_figure(list(range(1, len(weights) + 1)), list(weights), title)
