"""What is missing of the fifteen experiments, and the commands that make it."""

import pandas as pd

from reporting.published import EXPERIMENTS, PUBLISHED_ENSEMBLE, PUBLISHED_METHODS, STANDARD_GROUP, Experiment
from reporting.tables import as_published, best_count, chosen, single_methods


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per thing that was not run yet: experiment (its number), kind, what, row, and its command."""
    alone = rows[(rows.kind == "alone") & (rows.teacher == "") & as_published(rows) & ~rows.changed.map(bool)]
    found = [
        {"experiment": experiment.number, "kind": kind, "what": what, "row": name, "command": command}
        for experiment in EXPERIMENTS
        for kind, what, name, command in _of_experiment(
            experiment, rows[rows.experiment == experiment.number], set(alone.student)
        )
    ]
    return pd.DataFrame(found, columns=["experiment", "kind", "what", "row", "command"])


def _of_experiment(experiment: Experiment, rows: pd.DataFrame, trained: set[str]) -> list[tuple]:
    """trained: networks that were trained alone as published."""
    train = "python train_teacher.py --model {} --dataset cifar100 --epochs 240 --seed 1 --trial 1"
    group = f"sh scripts/experiments/{experiment.folder}.sh{{}} --seed {{seed}} --trial {{seed}}"
    picked, methods = chosen(rows), single_methods(rows)
    found: list[tuple] = []
    if experiment.teacher not in trained and "teacher" not in set(rows.kind):
        found.append(("teacher", "", "teacher", train.format(experiment.teacher)))
    if experiment.student not in trained:
        found.append(("alone", "", "student alone", train.format(experiment.student)))
    missing = {name: label for name, label in PUBLISHED_METHODS.items() if name not in set(methods.what)}
    for name, label in missing.items():
        found.append(("offline", name, label, "ONLINE=none " + group.format("", seed=1)))
    if picked[(picked.kind == "best") & (picked.what == PUBLISHED_ENSEMBLE)].empty:
        found.append(
            ("best", PUBLISHED_ENSEMBLE, f"ModReduce {PUBLISHED_ENSEMBLE}", group.format("", seed=1))
        )
    if not missing and picked.best_mean[picked.kind == "control"].isna().all():
        best = methods.loc[methods.best_mean.idxmax()]
        words = "" if best.what in STANDARD_GROUP else f" --distill {best.what}"
        new = [seed for seed in range(1, 100) if seed not in best.seeds][: best_count(rows) - best.runs]
        found += [("control", "", "control", "ONLINE=none " + group.format(words, seed=seed)) for seed in new]
    return found


def commands(rows: pd.DataFrame) -> list[str]:
    """The commands of what is missing as lines of Markdown; experiments without any run share one."""
    found = gaps(rows)
    begun = set(rows.experiment)
    lines = []
    if new := [number for number in dict.fromkeys(found.experiment) if number not in begun]:
        numbers = "all fifteen experiments" if len(new) == len(EXPERIMENTS) else f"experiments {_ranges(new)}"
        words = "" if len(new) == len(EXPERIMENTS) else f" --experiments {_ranges(new)}"
        lines.append(f"- {numbers}: `sh scripts/reproduce.sh{words}`")
    for (number, command), own in found[found.experiment.isin(begun)].groupby(
        ["experiment", "command"], sort=False
    ):
        lines.append(f"- experiment {number}, {', '.join(dict.fromkeys(own.row))}: `{command}`")
    return lines


def _ranges(numbers: list[int]) -> str:
    """Growing numbers as a user types them: 1-3,5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
