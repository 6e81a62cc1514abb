"""Finished runs, read from their results.json and the args.json beside it, as a data frame of accuracies.

runs = find_runs([Path("save")])
frame(runs).groupby(["teacher", "student", "row"])["last"].agg(["mean", "std"])
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from helper.errors import UserError, one_line
from helper.recipe import BATCH_SIZE, DATASET, published_decay, published_rate
from helper.results import ARGS, ENSEMBLE, RESULTS, Results, read_json
from reporting.published import FULL_SIZE, STANDARD_GROUP

# the flags of version 0.1 and their defaults, by the methods and ensembles that they belong to: its args.json
# does not say what was changed
OLD_DEFAULTS: dict[tuple[str, ...], dict[str, Any]] = {
    (): {"gamma": 1.0, "alpha": 1.0, "beta": None, "kd_T": 4.0, "multiplier": None,
         "learning_rate": None, "lr_decay_epochs": None, "lr_decay_rate": 0.1, "weight_decay": 5e-4,
         "momentum": 0.9, "clip_grad": 0.0},
    ("crd",): {"nce_k": 16384, "nce_t": 0.07, "nce_m": 0.5, "feat_dim": 128, "crd_mode": "exact"},
    ("fitnet",): {"hint_layer": 2},
    ("rkd",): {"rkd_distance": 25.0, "rkd_angle": 50.0},
    ("wavg", "one", "fc", "pcl"): {"online_weight": 0.7, "online_weight_start": 0.01, "ensemble_lr": 0.1},
    ("pcl",): {"pcl_T": 3.0, "pcl_decay": 0.999, "pcl_ramp_up": 80},
}  # fmt: skip
# the settings that have a column of their own in the frame, or say nothing of what it holds
COLUMNS = (
    "ema",
    *("seed", "dataset", "epochs", "train_size", "val_split", "batch_size"),
    *("model", "model_s", "model_t", "distill", "online", "online_start"),
)
# what the runs of one table share; data sets and teachers are told apart by what they hold
TABLE = [
    *("dataset", "data_sha256", "teacher", "teacher_sha256", "student"),
    *("epochs", "train_size", "val_split", "batch_size"),
]


@dataclass(frozen=True)
class Run:
    """A finished run: its results, and what it was asked for.

    settings: every flag by name; changed: those that differ from their defaults; owners: the methods and
    ensembles that a flag says something about, where it says nothing about the others.
    """

    path: Path
    results: Results
    settings: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    owners: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def student(self) -> str:
        """The students' networks, each once."""
        return " + ".join(dict.fromkeys(student.model for student in self.results.students))

    @property
    def online(self) -> str:
        """The ensemble's method; '' for offline learning only."""
        return self.results.ensemble.online if self.results.ensemble else ""

    @property
    def table(self) -> dict[str, Any]:
        """What the runs of one table share: a value for each name of TABLE, '' and 0 where there is none."""
        results, asked = self.results, self.settings
        size, val_split = asked.get("train_size") or 0, float(asked.get("val_split") or 0.0)
        # which images are held out depends on the seed, and so does the hash of what a run sees
        data = "" if val_split else results.data_sha256 or asked.get("data_sha256") or ""
        return {
            "dataset": results.dataset,
            "data_sha256": data,
            "teacher": results.teacher.model if results.teacher else "",
            "teacher_sha256": results.teacher_sha256 or asked.get("teacher_sha256") or "",
            "student": self.student,
            "epochs": results.epochs,
            "train_size": 0 if size == FULL_SIZE and results.dataset == DATASET else size,
            "val_split": val_split,
            "batch_size": int(asked.get("batch_size") or BATCH_SIZE),
        }

    @property
    def precision(self) -> str:
        """In which precision it was trained, and tested where that is another; '' if unknown."""
        trained = self.settings.get("precision") or self.results.precision or ""
        tested = self.results.precision or trained
        return trained if tested == trained else f"{trained}, tested in {tested}"

    def variant(self, methods: Iterable[str], place: int | None = None) -> tuple[tuple[str, str], ...]:
        """The changed settings that say something about these methods and ensembles, each as (name, text).

        place: the student's, where a setting has one value per student.
        """
        found, concerned = {}, set(methods)
        for name, value in self.changed.items():
            foreign = name in self.owners and concerned.isdisjoint(self.owners[name])
            if name in COLUMNS or foreign or self._is_recipe(name, value):
                continue
            if name in ("beta", "multiplier") and isinstance(value, list) and place is not None:
                value = value[place] if len(value) > 1 else value[0]
            found[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return tuple(sorted(found.items()))

    def _is_recipe(self, name: str, value: Any) -> bool:
        """Whether a changed setting says only what holds without it."""
        if name == "lr_decay_epochs":
            return list(value) == published_decay(self.results.epochs)
        optimizer = self.settings.get("optimizer", "sgd")
        rates = {published_rate(student.model, optimizer) for student in self.results.students}
        return name == "learning_rate" and rates == {value}


def find_runs(folders: Iterable[Path], warn: Callable[[str], None] = print) -> list[Run]:
    """Every finished run below the folders, copies of a run once, in the order of their paths.

    A results.json has its settings in the args.json beside it. Any other .json with a run's results counts
    too; its settings stand in its own entry 'settings' or in `<name>.args.json`. A damaged file is left out,
    and `warn` gets a line that names it. Raises UserError when a folder is missing or there is no run at all.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: give folders with finished runs, like save")
    runs: dict[tuple, Run] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*.json")}):
        try:
            run = read_run(path)
        except UserError as error:
            warn(f"left out: {one_line(error)}")
            continue
        if run is None:
            continue
        results = run.results
        same = (results.script, results.dataset, results.epochs, results.seed, results.seconds)
        copies = (*same, results.device, results.students)
        if copies not in runs or not runs[copies].settings:
            runs[copies] = run
    if not runs:
        looked = ", ".join(map(str, folders)) or "nowhere"
        raise UserError(
            f"no finished run (a {RESULTS}) below {looked}: train first, for example with "
            "sh scripts/reproduce.sh --experiments 9 or sh scripts/demo.sh, or name another folder"
        )
    return list(runs.values())


def read_run(path: Path) -> Run | None:
    """The run whose results the file holds; None for a .json of another kind.

    Raises UserError when the file, or the settings beside it, cannot be understood.
    """
    content = read_json(path)
    if path.name != RESULTS and not (isinstance(content, dict) and {"script", "students"} <= content.keys()):
        return None
    results = Results.read(path)
    beside = path.with_name(ARGS) if path.name == RESULTS else path.with_suffix(".args.json")
    if "settings" not in content:
        content = read_json(beside) if beside.exists() else {}
    try:
        return Run(path, results, *asked_of(content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{beside} holds no run's settings ({type(error).__name__}: {error})") from error


def asked_of(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Sequence[str]]]:
    """Settings by name, the changed ones, and the flags' owners, from an args.json, also of version 0.1."""
    settings = dict(content.get("settings", {}))
    if "recipe" in settings:
        flat = {name: value for part in settings.values() for name, value in part.items()}
        return flat, dict(content["changed"]), dict(content.get("owners", {}))
    owners = {name: names for names, flags in OLD_DEFAULTS.items() if names for name in flags}
    defaults = {name: default for flags in OLD_DEFAULTS.values() for name, default in flags.items()}
    changed = {
        name: settings[name]
        for name, default in defaults.items()
        if settings.get(name) is not None and settings[name] != default
    }
    return settings, changed, owners


def frame(runs: Iterable[Run]) -> pd.DataFrame:
    """A row per student and run, and one for the ensemble of a run.

    Its columns are TABLE and: kind (alone; offline, a student of an `--online none` run; single, one of
    train_student.py; student; ensemble), what (the method, or what learns online), row (how tables call it),
    methods (all that it depends on), changed, precision, seed, name, label, group_size (students of the run),
    last and best accuracy in percent, teacher_accuracy, seconds and device of the run, path.
    """
    return pd.DataFrame([row for run in runs for row in _rows(run)])


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    results = run.results
    methods = tuple(student.method or "" for student in results.students)
    online = run.online
    if online and sorted(methods) != sorted(STANDARD_GROUP):
        online += f" ({', '.join(student.title for student in results.students)})"
    if online and (start := run.settings.get("online_start")):
        online += f" from epoch {start}"
    shared = run.table | {
        "path": str(run.path),
        "seed": results.seed,
        "seconds": results.seconds,
        "device": results.device,
        "precision": run.precision,
        "teacher_accuracy": results.teacher.test_acc if results.teacher else None,
        "group_size": len(methods),
    }
    for place, student in enumerate(results.students):
        method, network = student.method or "", f" {student.model}" if " + " in run.student else ""
        if online:
            kind, row = "student", f"{online}: {student.title}{network} student"
        elif not method:
            kind, row = "alone", "student alone"
        elif results.script == "train_student":
            kind, row = "single", f"{student.label} (train_student.py)"
        else:
            kind, row = "offline", f"{student.label}{network}"
        concerned = (*methods, run.online) if online else (method,)
        changed = run.variant(concerned, None if online else place)
        yield shared | {
            **{"kind": kind, "what": online or method, "row": row, "methods": concerned, "changed": changed},
            **{"name": student.name, "label": student.label},
            **{"last": student.test_acc_last, "best": student.test_acc_best},
        }
    if score := results.ensemble:
        concerned = (*methods, run.online)
        yield shared | {
            **{"kind": ENSEMBLE, "what": online, "row": f"{online}: ensemble", "methods": concerned},
            **{"changed": run.variant(concerned), "name": ENSEMBLE, "label": online},
            **{"last": score.test_acc_last, "best": score.test_acc_best},
        }
