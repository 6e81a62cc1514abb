"""Accuracies of classes and confusions: counted by hand, drawn for few and for many classes."""

import csv
import warnings

import numpy as np
import pytest

from reporting import per_class
from reporting.per_class import PerClass, names_of_classes, write_per_class
from reporting.per_class_plots import accuracy_figure, confusion_figure, in_blocks, most_frequent, short

LABELS = np.array([0, 0, 0, 0, 1, 1, 3])
FOUND = PerClass(
    LABELS,
    {"kd": np.array([0, 0, 0, 1, 1, 3, 3]), "teacher": LABELS},
    ("cat", "dog", "no image", "owl, white"),
)


def rows_of(path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def many(classes: int, images: int = 4) -> PerClass:
    """Networks that are more often wrong the larger a class's number, and then take it for the next one."""
    labels = np.repeat(np.arange(classes), images)
    wrong = np.arange(len(labels)) % images < (labels * images) // classes
    predicted = np.where(wrong, (labels + 1) % classes, labels)
    names = names_of_classes(None, classes)
    return PerClass(labels, {"kd": predicted, "ensemble": labels}, names)


def test_tables_are_as_counted_by_hand(tmp_path):
    paths = write_per_class(FOUND, tmp_path, tmp_path / "plots", ["kd"])
    assert rows_of(tmp_path / "per_class.csv") == [
        ["class", "images", "kd", "teacher"],
        ["cat", "4", "75", "100"],
        ["dog", "2", "50", "100"],
        ["no image", "0", "", ""],
        ["owl, white", "1", "100", "100"],
    ]
    assert rows_of(tmp_path / "confusion_kd.csv") == [
        ["true", "cat", "dog", "no image", "owl, white"],
        ["cat", "3", "1", "0", "0"],
        ["dog", "0", "1", "0", "1"],
        ["no image", "0", "0", "0", "0"],
        ["owl, white", "0", "0", "0", "1"],
    ]
    names = ["per_class.csv", "per_class.png", "confusion_kd.csv", "confusion_kd.png"]
    assert [path.name for path in paths] == names and all(path.stat().st_size for path in paths)
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"per_class.png", "confusion_kd.png"}


def test_classes_weighted_by_their_images_are_the_whole():
    found = many(7)
    of_all = 100 * (found.predicted["kd"] == found.labels).mean()
    weighted = (found.accuracies["kd"] * found.images).sum() / found.images.sum()
    assert weighted == pytest.approx(of_all)
    assert found.confusion("kd").sum() == len(found.labels)
    assert np.array_equal(found.confusion("ensemble"), np.diag(found.images))


def test_too_many_classes_have_no_matrix(tmp_path, monkeypatch):
    monkeypatch.setattr(per_class, "LARGEST_MATRIX", 50)
    paths = write_per_class(many(51), tmp_path, tmp_path, ["kd"])
    assert [path.name for path in paths] == ["per_class.csv", "per_class.png"]
    assert len(rows_of(tmp_path / "per_class.csv")) == 52


def words(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def test_few_classes_are_all_named_the_worst_first():
    figure = accuracy_figure(FOUND.accuracies, FOUND.class_names)
    (panel,) = figure.axes
    assert words(panel.yaxis) == ["dog", "cat", "owl, white"]  # the class without images is left out
    panel, _bar = confusion_figure(FOUND.confusion("kd"), "kd", FOUND.class_names).axes
    assert words(panel.xaxis) == words(panel.yaxis) == [short(name) for name in FOUND.class_names]
    numbers = {(text.get_position(), text.get_text()) for text in panel.texts}
    assert {((0, 0), "75"), ((1, 0), "25"), ((3, 1), "50")} <= numbers


@pytest.mark.parametrize("classes", [41, 1000])
def test_of_many_classes_the_worst_and_the_most_frequent_confusions_are_named(classes):
    found = many(classes)
    curves, worst = accuracy_figure(found.accuracies, found.class_names).axes
    assert len(words(worst.yaxis)) == 20 and "0" not in words(worst.yaxis)
    assert len(curves.lines) == 2 and all(len(line.get_xdata()) == classes for line in curves.lines)
    matrix, listed, _bar = confusion_figure(found.confusion("kd"), "kd", found.class_names).axes
    assert words(matrix.xaxis) == words(matrix.yaxis) == []
    pairs = [name.split(" → ") for name in words(listed.yaxis)]
    assert len(pairs) == 20 and all((int(true) + 1) % classes == int(taken) for true, taken in pairs)
    assert max(matrix.images[0].get_array().shape) <= 250


def test_without_a_confusion_there_is_nothing_to_list(tmp_path):
    found = many(60)
    _, listed, _ = confusion_figure(found.confusion("ensemble"), "ensemble", found.class_names).axes
    assert words(listed.yaxis) == [] and most_frequent(found.confusion("ensemble")) == []


def test_neighbouring_classes_are_drawn_together_without_losing_any():
    counts = np.arange(49).reshape(7, 7)
    merged = in_blocks(counts, 3)
    assert merged.shape == (3, 3) and merged.sum() == counts.sum()
    assert merged[0, 0] == counts[:3, :3].sum() and merged[2, 2] == counts[6, 6]
    assert np.array_equal(in_blocks(counts, 1), counts)


def test_names_of_any_kind_are_written_and_drawn(tmp_path):
    """Signs of formulas, letters that no font has, bytes that are none, lines, and a long one."""
    odd = ["a$x^$b$", "猫", "\ud800", "two\nlines", "n" * 80]
    names = names_of_classes(odd, 5)
    found = PerClass(np.arange(5), {"kd": np.array([0, 1, 2, 3, 0])}, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_per_class(found, tmp_path, tmp_path, ["kd"])
    assert [row[0] for row in rows_of(tmp_path / "per_class.csv")[1:]] == [*odd[:2], "\\ud800", *odd[3:]]
    assert short(odd[3]) == "two lines" and short(odd[4]) == "n" * 21 + "…"
