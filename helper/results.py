"""What a run leaves in results.json and metrics.csv."""

import csv
import json
from pathlib import Path
from typing import Any

from helper.errors import UserError, one_line

TEXT_COLUMNS = ("student",)

METRICS = [
    "epoch",
    "student",
    "train_loss",
    "train_acc",
    "test_loss",
    "test_acc",
    "test_acc_top5",
    "val_loss",
    "val_acc",
    "learning_rate",
    "online_weight",
    "ensemble_weight",
    "loss_ce",
    "loss_kd",
    "loss_method",
    "loss_online",
    "seconds",
]


def table(results: dict[str, Any]) -> str:
    """The accuracies of a run as a small table: teacher, each student, the ensemble."""
    lines = [f"{'':<10} {'network':<14} {'last epoch':>11} {'best epoch':>11}"]
    if results["teacher"]:
        teacher = results["teacher"]
        lines.append(f"{'teacher':<10} {teacher['model']:<14} {teacher['test_acc']:>9.2f} %")
    rows = [(s["name"], s["model"], s) for s in results["students"]]
    if results["ensemble"]:
        rows.append(("ensemble", results["ensemble"]["online"], results["ensemble"]))
    for name, model, scores in rows:
        last, best = scores["test_acc_last"], scores["test_acc_best"]
        lines.append(f"{name:<10} {model:<14} {last:>9.2f} % {best:>9.2f} %")
    return "\n".join(lines)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.csv: numbers as float (`epoch` as int), empty cells as None.

    Raises UserError when the file is missing or no metrics.csv.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [
                {name: _cell(name, text) for name, text in row.items() if name is not None}
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {one_line(error.strerror or error)}; give the folder of a run"
        ) from error
    except (ValueError, csv.Error) as error:
        raise UserError(
            f"{path} is damaged: {one_line(error)}; run with --resume or leave this run out"
        ) from error
    if any(row.get("epoch") is None or row.get("student") is None for row in rows):
        raise UserError(
            f"{path} is no metrics.csv: it has no columns 'epoch' and 'student', or a row without them"
        )
    return rows


def _cell(name: str, text: str | None) -> Any:
    if text is None or text == "":
        return None
    if name in TEXT_COLUMNS:
        return text
    return int(text) if name == "epoch" else float(text)


def read_json(path: Path) -> Any:
    """The content of a JSON file; UserError if it cannot be read or is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {one_line(error)}") from error
