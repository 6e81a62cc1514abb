"""What an epoch came to: its rows of metrics.csv, and the best epoch of each name so far."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dataset.loader import EvalLoader, TrainLoader
from engine.evaluation import Classes, Scores, evaluate
from engine.task import Task
from reporting.per_class import PerClass, names_of_classes


class Loaders(NamedTuple):
    """The batches of a run: to train on, to test on, and those held out to select the best epoch."""

    train: TrainLoader
    test: EvalLoader
    validation: EvalLoader | None


def evaluated_rows(
    task: Task,
    loaders: Loaders,
    epoch: int,
    means: Mapping[str, Sequence[float]],
    rates: Mapping[str, float],
    online_weight: float | None,
    start: float,
) -> tuple[list[dict[str, Any]], list[float] | None]:
    """The rows for an epoch (from 1), one per student and one for the ensemble, and the latter's weights.

    means: of each logged term by student; rates: the learning rates; start: when the epoch began.
    """
    task.eval()
    test, weights = evaluate(task.predict, loaders.test)
    validation = evaluate(task.predict, loaders.validation)[0] if loaders.validation else {}
    averaged = evaluate(task.averaged_logits, loaders.test)[0] if task.averaged else {}
    rows = []
    for name, scores in test.items():
        row: dict[str, Any] = {"epoch": epoch, "student": name, "learning_rate": rates.get(name)}
        if name in task.names:
            k = task.names.index(name)
            values = {term: column[k] for term, column in means.items()}
            row |= {"train_loss": values.pop("loss"), "train_acc": 100 * values.pop("correct")}
            row |= {f"loss_{term}": value for term, value in values.items() if value}
            row |= {"ensemble_weight": weights[k] if weights else None, "online_weight": online_weight}
        row |= {"test_loss": scores.loss, "test_acc": scores.top1, "test_acc_top5": scores.top5}
        if name in validation:
            held_out: Scores = validation[name]
            row |= {"val_loss": held_out.loss, "val_acc": held_out.top1}
        if name in averaged:
            row |= {"test_loss_ema": averaged[name].loss, "test_acc_ema": averaged[name].top1}
        rows.append(row | {"seconds": round(time.perf_counter() - start, 3)})
    return rows, weights


def note_best(
    best: dict[str, dict[str, float]], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Put each row that is better than all of its name before into `best`; returns those rows.

    What selects is the accuracy on the validation set, or on the test set where there is none.
    """
    better = []
    for row in rows:
        selecting = row.get("val_acc", row["test_acc"])
        if row["student"] in best and selecting <= best[row["student"]]["selecting"]:
            continue
        best[row["student"]] = {
            "selecting": selecting,
            "epoch": row["epoch"],
            "test_acc": row["test_acc"],
        }
        better.append(row)
    return better


def per_class_of(
    task: Task, loaders: Loaders, teacher: Classes, num_classes: int, class_names: Sequence[str] | None
) -> PerClass:
    """What the students, the ensemble and the teacher take the test images for, in one pass of the former.

    teacher: what the teacher took them for; empty without one.
    """
    task.eval()
    classes = Classes()
    evaluate(task.predict, loaders.test, classes)
    classes.predicted |= teacher.predicted
    return PerClass(*classes.arrays(), names_of_classes(class_names, num_classes))
