"""How well each class is known, and for which others its images are taken: as tables and as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helper.files import write_atomically
from helper.results import DIGITS, Results
from reporting import style
from reporting.per_class_plots import accuracy_figure, confusion_figure

LARGEST_MATRIX = 2000  # classes: 32 MB of counts for a network, and a file of some 10 MB
TABLE, MATRIX = "per_class", "confusion_{}"


@dataclass(frozen=True, eq=False)
class PerClass:
    """What networks took the images of a test set for.

    labels: (n,), what they show; predicted: by the networks' names, (n,), what each took them for;
    class_names: one per class.
    """

    labels: np.ndarray
    predicted: Mapping[str, np.ndarray]
    class_names: Sequence[str]

    @cached_property
    def images(self) -> np.ndarray:
        """(C,): how many images there are of each class."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    @property
    def has_matrices(self) -> bool:
        """Whether there are few enough classes for a matrix of counts."""
        return len(self.class_names) <= LARGEST_MATRIX

    @cached_property
    def accuracies(self) -> dict[str, np.ndarray]:
        """By the networks' names, (C,): the known share of each class in percent; NaN without images."""
        found = {}
        for name, predicted in self.predicted.items():
            right = np.bincount(self.labels[predicted == self.labels], minlength=len(self.class_names))
            shares = np.full(len(self.class_names), np.nan)
            found[name] = np.divide(100.0 * right, self.images, out=shares, where=self.images > 0)
        return found

    def confusion(self, name: str) -> np.ndarray:
        """(C, C) int64: how many images of each class (rows) a network took for each (columns)."""
        count = len(self.class_names)
        pairs = self.labels.astype(np.int64) * count + self.predicted[name]
        return np.bincount(pairs, minlength=count * count).reshape(count, count)


def names_of_classes(known: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The names of the classes as a text file can hold them; their numbers where there are none."""
    if known is None:
        return tuple(map(str, range(count)))
    return tuple(name.encode("utf-8", "backslashreplace").decode() for name in known)


def write_per_class(
    found: PerClass,
    tables: Path,
    pictures: Path,
    matrices: Iterable[str],
    results: Results | None = None,
) -> list[Path]:
    """Write per_class.csv and .png, and confusion_<name>.csv and .png of the networks of these names, which
    are left out for more than LARGEST_MATRIX classes; returns their paths.

    tables, pictures: the folders; results: those of the run, for titles. Raises UserError where a folder
    cannot be written.
    """
    written = [tables / f"{TABLE}.csv"]
    write_atomically(written[0], table_text(found))
    figure = accuracy_figure(found.accuracies, found.class_names, results)
    written.append(style.save(figure, pictures / f"{TABLE}.png"))
    for name in matrices if found.has_matrices else ():
        counts, file = found.confusion(name), MATRIX.format(name)
        write_atomically(tables / f"{file}.csv", matrix_text(counts, found.class_names))
        figure = confusion_figure(counts, name, found.class_names, results)
        written += [tables / f"{file}.csv", style.save(figure, pictures / f"{file}.png")]
    return written


def table_text(found: PerClass) -> str:
    """A row per class: its name, its images, and the accuracy of each network in percent, empty without
    images.
    """
    columns = [[_percent(value) for value in values] for values in found.accuracies.values()]
    rows = zip(found.class_names, found.images.tolist(), *columns, strict=True)
    return _text(["class", "images", *found.accuracies], rows)


def matrix_text(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """A row per true class, a column per predicted one."""
    rows = ([name, *row] for name, row in zip(class_names, counts.tolist(), strict=True))
    return _text(["true", *class_names], rows)


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.{DIGITS}g}"


def _text(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
