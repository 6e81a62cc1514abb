"""Finished runs, read from their results.json and the args.json beside it."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helper.errors import UserError, one_line
from helper.results import read_json

RESULTS, ARGS = "results.json", "args.json"
# what results.json of version 0.1 did not say
OLD_LABELS = {"kd": "KD", "fitnet": "FitNet", "rkd": "RKD", "crd": "CRD", "semckd": "SemCKD"}


@dataclass(frozen=True)
class Score:
    """One student's, or the ensemble's, test accuracy in percent."""

    name: str
    model: str | None
    method: str | None
    label: str
    last: float
    best: float

    @property
    def title(self) -> str:
        """The student's name with its method's label: 'kd_2' becomes 'KD 2'."""
        method, _, number = self.name.partition("_")
        return f"{self.label} {number}".strip() if method == self.method else self.name


@dataclass(frozen=True)
class Run:
    """A finished run; `online` is the ensemble's method, None for offline learning only."""

    path: Path
    script: str
    dataset: str
    epochs: int
    seed: int
    seconds: float
    device: str
    teacher: str | None
    teacher_accuracy: float | None
    students: tuple[Score, ...]
    online: str | None
    ensemble: Score | None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple:
        """Equal for copies of one run, wherever they lie."""
        return (self.script, self.dataset, self.epochs, self.seed, self.seconds, self.device, self.students)

    @property
    def model(self) -> str:
        """The students' networks, each once."""
        return " + ".join(dict.fromkeys(str(student.model) for student in self.students))


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
        if run is not None and (run.identity not in runs or not runs[run.identity].settings):
            runs[run.identity] = run
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
    try:
        return _run(path, content, _settings(path, content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no run's results ({type(error).__name__}: {error})") from error


def _settings(path: Path, content: dict[str, Any]) -> Mapping[str, Any]:
    if "settings" in content:
        return dict(content["settings"])
    beside = path.with_name(ARGS) if path.name == RESULTS else path.with_suffix(".args.json")
    if not beside.exists():
        return {}
    return dict(read_json(beside).get("settings", {}))


def _run(path: Path, content: dict[str, Any], settings: Mapping[str, Any]) -> Run:
    teacher, ensemble = content.get("teacher") or {}, content.get("ensemble")
    students = tuple(
        _score(student["name"], student["model"], student["distill"], student)
        for student in content["students"]
    )
    if not students:
        raise ValueError("it has no students")
    accuracy = teacher.get("test_acc")
    return Run(
        path=path,
        script=str(content["script"]),
        dataset=str(content["dataset"]),
        epochs=int(content["epochs"]),
        seed=int(content["seed"]),
        seconds=float(content["seconds"]),
        device=str(content["device"]),
        teacher=teacher.get("model"),
        teacher_accuracy=None if accuracy is None else _percent(accuracy),
        students=students,
        online=ensemble["online"] if ensemble else None,
        ensemble=_score("ensemble", None, None, ensemble) if ensemble else None,
        settings=settings,
    )


def _score(name: str, model: str | None, method: str | None, source: Mapping[str, Any]) -> Score:
    method = "fitnet" if method == "hint" else method
    label = str(source.get("label") or OLD_LABELS.get(str(method)) or method or name)
    return Score(
        name, model, method, label, _percent(source["test_acc_last"]), _percent(source["test_acc_best"])
    )


def _percent(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or not 0 <= number <= 100:
        raise ValueError(f"{value!r} is no accuracy in percent")
    return number
