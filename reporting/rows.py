"""What a finished run says: the table in which it belongs, and the lines of that table which it fills."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from helper.recipe import BATCH_SIZE, DATASET, EPOCHS, RECIPE, recipe_value
from reporting.published import Experiment, experiment_of
from reporting.runs import Run, Score

FULL_SIZE = 50_000
STANDARD_GROUP = ("kd", "crd", "semckd")
# settings that name a run or say where and how fast it computes, or that stand in the table's own columns
NOT_RECIPE = (
    "seed", "trial", "save_folder", "resume", "device", "deterministic", "compile", "cuda_graph", "path_t",
    "model_t", "data_folder", "data_sha256", "teacher_sha256", "model", "model_s", "distill", "online",
    "online_start", "epochs", "dataset", "train_size", "val_split", "batch_size",
)  # fmt: skip
# the method that a flag belongs to, by the flag's first word; the flag says nothing about the other methods
OWNERS = {"nce": "crd", "feat": "crd", "crd": "crd", "hint": "fitnet", "rkd": "rkd", "pcl": "pcl"}
ONLINE_FLAGS = ("online", "ensemble")


class Key(NamedTuple):
    """What runs must share to stand in one table."""

    dataset: str
    teacher: str | None
    student: str
    epochs: int
    train_size: int | None
    val_split: float
    batch_size: int

    @property
    def as_published(self) -> bool:
        """Whether data set, length and batch are those of the published numbers."""
        own = (self.dataset, self.epochs, self.train_size, self.val_split, self.batch_size)
        return own == (DATASET, EPOCHS, None, 0.0, BATCH_SIZE)

    @property
    def experiment(self) -> Experiment | None:
        """The published experiment that these runs repeat, if they do."""
        return experiment_of(self.teacher, self.student) if self.as_published else None


class Sample(NamedTuple):
    """One measurement: last and best epoch's test accuracy in percent, and the run's duration in seconds."""

    seed: int
    last: float
    best: float
    seconds: float
    device: str


@dataclass
class Row:
    """A line of a table: the same thing measured with several seeds.

    kind: alone, offline (of an `--online none` run), single (of train_student.py), student, ensemble, best or
    control; what: the method, or the ensemble's for student, ensemble and best; recipe: settings that are not
    the defaults; label: the method's; variant: those settings that the line has to show; gathered: last and
    best, where they are no means.
    """

    kind: str
    what: str | None
    name: str
    recipe: tuple[tuple[str, str], ...] = ()
    label: str = ""
    samples: dict[tuple, Sample] = field(default_factory=dict)
    students: int = 1
    variant: str = ""
    published: float | None = None
    note: str = ""
    gathered: tuple[float, float] | None = None

    @property
    def deviates(self) -> bool:
        """Whether a setting differs from the published recipe."""
        return any(name in RECIPE or name == "learning_rate" for name, _ in self.recipe)

    @property
    def title(self) -> str:
        """Name and variant."""
        return f"{self.name} [{self.variant}]" if self.variant else self.name

    def values(self, which: str) -> list[float]:
        """The accuracies in percent of 'last' or 'best', one per seed."""
        return [getattr(sample, which) for sample in self.samples.values()]

    def mean(self, which: str) -> float | None:
        """Their mean, None without a run."""
        if self.gathered:
            return self.gathered[which == "best"]
        values = self.values(which)
        return statistics.fmean(values) if values else None

    def deviation(self, which: str) -> float | None:
        """Their standard deviation (n - 1), None with fewer than two runs."""
        values = self.values(which)
        return statistics.stdev(values) if len(values) > 1 and not self.gathered else None


def key_of(run: Run) -> Key:
    """The table in which a run belongs."""
    size = run.settings.get("train_size") or None
    return Key(
        run.dataset,
        run.teacher,
        run.model,
        run.epochs,
        None if size == FULL_SIZE and run.dataset == DATASET else size,
        float(run.settings.get("val_split") or 0.0),
        int(run.settings.get("batch_size") or BATCH_SIZE),
    )


def recipe_of(run: Run, methods: Sequence[str], index: int | None = None) -> tuple[tuple[str, str], ...]:
    """The run's settings that matter to these methods, each as (name, text), defaults left out.

    index: the student's place, where a setting has one value per student.
    """
    found = {}
    for name, value in run.settings.items():
        first_word = name.split("_")[0]
        owner = OWNERS.get(first_word)
        foreign = owner is not None and owner not in (*methods, run.online)
        if name in NOT_RECIPE or foreign or (first_word in ONLINE_FLAGS and not run.online):
            continue
        if name in ("beta", "multiplier") and isinstance(value, list) and index is not None:
            value = value[index] if len(value) > 1 else value[0]
        if not _is_default(name, value, run):
            found[name] = ",".join(map(str, value)) if isinstance(value, list) else f"{value}"
    return tuple(sorted(found.items()))


def _is_default(name: str, value: Any, run: Run) -> bool:
    if value is None or value is False:
        return True
    if name == "lr_decay_epochs":
        return list(value) == [round(epoch * run.epochs / EPOCHS) for epoch in RECIPE[name]]
    if name == "learning_rate":
        return all(value == recipe_value(name, str(student.model)) for student in run.students)
    return name in RECIPE and value == RECIPE[name]


def lines_of(run: Run) -> Iterator[tuple[Row, tuple, Sample]]:
    """What a run says: per line of a table the row (without samples), the sample's identity, the sample."""
    return _online_lines(run) if run.online else _offline_lines(run)


def _sample(run: Run, last: float, best: float) -> Sample:
    return Sample(run.seed, last, best, run.seconds, run.device)


def _name(run: Run, student: Score, text: str) -> str:
    """The text, with the student's network where the run has several."""
    return f"{text} {student.model}" if " + " in run.model else text


def _offline_lines(run: Run) -> Iterator[tuple[Row, tuple, Sample]]:
    for index, student in enumerate(run.students):
        method = student.method
        recipe = recipe_of(run, [method or ""], index)
        if method is None:
            row = Row("alone", None, "student alone", recipe)
        elif run.script == "train_student":
            row = Row("single", method, f"{student.label} (train_student.py)", recipe, label=student.label)
        else:
            row = Row("offline", method, _name(run, student, student.label), recipe, label=student.label)
        yield row, (run.seed, student.name), _sample(run, student.last, student.best)


def _online_lines(run: Run) -> Iterator[tuple[Row, tuple, Sample]]:
    methods = [student.method or "" for student in run.students]
    what = str(run.online)
    if sorted(methods) != sorted(STANDARD_GROUP):
        what += f" ({', '.join(student.title for student in run.students)})"
    if start := run.settings.get("online_start"):
        what += f" from epoch {start}"
    recipe, count = recipe_of(run, methods), len(run.students)
    for student in run.students:
        row = Row("student", what, f"{what}: {_name(run, student, student.title)} student", recipe)
        yield row, (run.seed,), _sample(run, student.last, student.best)
    if run.ensemble:
        row = Row("ensemble", what, f"{what}: ensemble", recipe)
        yield row, (run.seed,), _sample(run, run.ensemble.last, run.ensemble.best)
    last, best = (max(getattr(student, which) for student in run.students) for which in ("last", "best"))
    row = Row("best", what, f"ModReduce {what}: best of {count}", recipe, students=count)
    yield row, (run.seed,), _sample(run, last, best)
