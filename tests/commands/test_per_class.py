"""What a run and evaluate.py leave of single classes: tables that agree with each other and the results."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from modreduce.saved import short_names
from tests.commands import running
from tests.commands.running import run_folder

RUN = "train_modreduce --model_s resnet8 resnet8 --distill kd at --online wavg"


def rows_of(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def of_all(rows: list[dict[str, str]], name: str) -> float:
    """The accuracy of all images, from those of the classes."""
    images = np.array([int(row["images"]) for row in rows])
    return float((images * np.array([float(row[name]) for row in rows])).sum() / images.sum())


def test_tables_agree_with_the_results_and_with_those_of_evaluate(runner, root):
    ended = runner(RUN, "--save_folder", root.name)
    assert (ended.status, ended.err) == (0, "")
    folder = run_folder(root)
    results = json.loads((folder / "results.json").read_text())
    rows = rows_of(folder / "per_class.csv")
    assert list(rows[0]) == ["class", "images", "kd", "at", "ensemble", "teacher"]
    assert [row["class"] for row in rows] == [str(k) for k in range(10)]
    accuracies = {student["name"]: student["test_acc_last"] for student in results["students"]}
    accuracies |= {"ensemble": results["ensemble"]["test_acc_last"]}
    accuracies |= {"teacher": results["teacher"]["test_acc"]}
    for name, accuracy in accuracies.items():
        assert of_all(rows, name) == pytest.approx(accuracy, abs=1e-4)
    for name in ("kd", "at"):
        matrix = rows_of(folder / f"confusion_{name}.csv")
        right = sum(int(row[row["true"]]) for row in matrix)
        assert 100 * right / 40 == pytest.approx(accuracies[name], abs=1e-4)
    drawn = {path.name for path in (folder / "plots").iterdir()}
    assert {"per_class.png", "confusion_kd.png", "confusion_at.png"} <= drawn

    words = ["--path", folder / "kd_last.pth", folder / "at_last.pth", "--per_class", root / "classes"]
    words += ["--ensemble", folder / "ensemble_last.pth", "--dataset", "npz", "--data_folder", "digits.npz"]
    said = running.run("evaluate.py", *words, "--device", "cpu", folder=runner.folder)
    assert f"are in {root / 'classes'}" in said
    again = rows_of(root / "classes/per_class.csv")
    for ours, theirs in zip(again, rows, strict=True):
        assert list(ours.values()) == [theirs[k] for k in ("class", "images", "kd", "at", "ensemble")]
    assert list(again[0]) == ["class", "images", "kd_last", "at_last", "ensemble"]
    one, other = (root / "classes/confusion_kd_last.csv", folder / "confusion_kd.csv")
    assert one.read_bytes() == other.read_bytes()


def test_files_of_one_name_are_told_apart():
    paths = [Path("one/kd_last.pth"), Path("other/kd_last.pth")]
    assert list(short_names(paths).values()) == ["one-kd_last", "other-kd_last"]
    assert list(short_names([Path("x/ensemble.pth")]).values()) == ["x-ensemble"]
    assert list(short_names([Path("x/a.pth"), Path("x/b.pth")]).values()) == ["a", "b"]
