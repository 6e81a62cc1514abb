"""What a run leaves in results.json and metrics.csv: their one record, written and read here.

results = Results.read(folder / "results.json")
print(table(results))
rows = read_metrics(folder / "metrics.csv")
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from helper.errors import UserError, one_line
from helper.files import write_atomically

RESULTS, METRICS_FILE, ARGS = "results.json", "metrics.csv", "args.json"
ENSEMBLE = "ensemble"  # the name under which metrics.csv has the ensemble
DIGITS = 7  # significant ones in a file: a relative error below 1e-6, and 6.959999999999999 reads 6.96
OF_AVERAGES = ["test_loss_ema", "test_acc_ema"]  # columns of a run with --ema only
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
# what version 0.1, whose results have no labels, called its methods in tables
OLD_LABELS = {"kd": "KD", "fitnet": "FitNet", "rkd": "RKD", "crd": "CRD", "semckd": "SemCKD"}
# two names of one method
ALIASES = {"hint": "fitnet"}

Record = TypeVar("Record")


@dataclass(frozen=True)
class TeacherScore:
    """The teacher's network and its accuracy in percent on the run's own test set."""

    model: str
    test_acc: float | None = None

    def __post_init__(self) -> None:
        if self.test_acc is not None:
            _check_percent(self.test_acc)


@dataclass(frozen=True)
class StudentScore:
    """A student: its method and its accuracies in percent after the last and in the best epoch.

    distill: the method's name, None without a teacher; label: what tables call the method; parameters: of its
    network; parameters_added: those that the method trains beside it; beta, multiplier: the weights of its
    method and of its whole offline loss; seconds: of training, of all students of the run together;
    test_acc_ema_last: that of the moving average of its weights, if there is one.
    """

    name: str
    model: str
    distill: str | None
    test_acc_last: float
    test_acc_best: float
    label: str = ""
    parameters: int | None = None
    parameters_added: int | None = None
    beta: float | None = None
    multiplier: float | None = None
    seconds: float | None = None
    best_epoch: int | None = None
    test_acc_top5_last: float | None = None
    test_loss_last: float | None = None
    test_acc_ema_last: float | None = None

    def __post_init__(self) -> None:
        averaged = [] if self.test_acc_ema_last is None else [self.test_acc_ema_last]
        for value in (self.test_acc_last, self.test_acc_best, *averaged):
            _check_percent(value)
        if not self.label:
            method = self.method or self._base
            object.__setattr__(self, "label", OLD_LABELS.get(method, method))

    @property
    def method(self) -> str | None:
        """The name of the method, one per method."""
        return ALIASES.get(self.distill or "", self.distill)

    @property
    def _base(self) -> str:
        """The name without its number."""
        base, _, number = self.name.rpartition("_")
        return base if base and number.isdecimal() else self.name

    @property
    def title(self) -> str:
        """The student's name with its label: 'kd_2' becomes 'KD 2'."""
        return self.label + self.name.removeprefix(self._base).replace("_", " ")


@dataclass(frozen=True)
class EnsembleScore:
    """What fuses the students, with which weights if it has any, and its accuracies in percent."""

    online: str
    test_acc_last: float
    test_acc_best: float
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        for value in (self.test_acc_last, self.test_acc_best):
            _check_percent(value)
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(self.weights))


@dataclass(frozen=True)
class Results:
    """What a finished run came to: the content of its results.json.

    seconds: of the whole run; precision: 'fp32' or 'bf16', in which its accuracies were measured;
    data_sha256, teacher_sha256: of the data set's arrays and of the teacher's weights, which tell apart what
    has one name.
    """

    script: str
    dataset: str
    epochs: int
    seed: int
    seconds: float
    device: str
    students: tuple[StudentScore, ...]
    teacher: TeacherScore | None = None
    ensemble: EnsembleScore | None = None
    images_per_second: float | None = None
    precision: str | None = None
    data_sha256: str | None = None
    teacher_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.students:
            raise ValueError("it has no students")
        for name in ("epochs", "seed", "seconds"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), (int, float)):
                raise ValueError(f"{name} {getattr(self, name)!r} is no number")

    @classmethod
    def of(cls, content: "Results | Mapping[str, Any]") -> "Results":
        """The record of a results.json's content; keys that it does not know are left out.

        Raises KeyError, TypeError or ValueError where a key is missing or is no such value.
        """
        if isinstance(content, Results):
            return content
        values = dict(content)
        values["students"] = tuple(_record(StudentScore, student) for student in values["students"])
        for name, kind in (("teacher", TeacherScore), ("ensemble", EnsembleScore)):
            values[name] = _record(kind, values[name]) if values.get(name) else None
        return _record(cls, values)

    @classmethod
    def read(cls, path: Path) -> "Results":
        """The results in a file; UserError if it cannot be read or is none of a run."""
        content = read_json(path)
        try:
            return cls.of(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path} is no run's results ({type(error).__name__}: {one_line(error)})"
            ) from error

    def write(self, path: Path) -> None:
        """Write the file whole or not at all; UserError when that cannot be."""
        write_atomically(path, json.dumps(_rounded(asdict(self)), indent=2, allow_nan=False) + "\n")


def _record(kind: type[Record], content: Mapping[str, Any]) -> Record:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in content.items() if name in known})


def _check_percent(value: Any) -> None:
    number = math.nan if isinstance(value, (bool, str)) or value is None else float(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{value!r} is no accuracy in percent")


def _rounded(value: Any) -> Any:
    """The value with every float in it at DIGITS significant digits, None where it is not finite."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def table(results: Results | Mapping[str, Any]) -> str:
    """The accuracies of a run as a small table: teacher, each student, the ensemble; and what they are of."""
    results = Results.of(results)
    rows = [(student.name, student.model, student) for student in results.students]
    if results.ensemble:
        rows.append((ENSEMBLE, results.ensemble.online, results.ensemble))
    models = [results.teacher.model] if results.teacher else []
    name_width = max(10, *(len(name) for name, _, _ in rows))
    width = max(14, *map(len, models), *(len(model) for _, model, _ in rows))
    precision = f"{results.precision} " if results.precision else ""
    lines = [f"{results.dataset}, test set, {precision}on {results.device}"]
    lines.append(f"{'':<{name_width}} {'network':<{width}} {'last epoch':>11} {'best epoch':>11}")
    if results.teacher and results.teacher.test_acc is not None:
        teacher = results.teacher
        lines.append(f"{'teacher':<{name_width}} {teacher.model:<{width}} {teacher.test_acc:>9.2f} %")
    for name, model, score in rows:
        accuracies = f"{score.test_acc_last:>9.2f} % {score.test_acc_best:>9.2f} %"
        lines.append(f"{name:<{name_width}} {model:<{width}} {accuracies}")
    return "\n".join(lines)


def metrics_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the text of a metrics.csv: the columns METRICS, and before the last any further loss_<term> and
    OF_AVERAGES.

    Numbers have DIGITS significant digits at most; what a row lacks is an empty cell.
    """
    rows = list(rows)
    asked = dict.fromkeys(n for row in rows for n in row if n.startswith("loss_") or n in OF_AVERAGES)
    columns = [*METRICS[:-1], *(name for name in asked if name not in METRICS), METRICS[-1]]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell_text(row.get(name)) for name in columns} for row in rows)
    return text.getvalue()


def write_metrics(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a metrics.csv of all rows so far: it never has half a row, or a row twice."""
    write_atomically(path, metrics_text(rows))


def _cell_text(value: Any) -> Any:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value


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
