"""Finished runs as tables: which runs may stand beside each other, and what is averaged over seeds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reporting.published import Experiment
from reporting.rows import ONLINE_FLAGS, OWNERS, STANDARD_GROUP, Key, Row, key_of, lines_of
from reporting.runs import Run

ORDER = ("alone", "offline", "single", "control", "student", "ensemble", "best")


@dataclass
class Group:
    """A table: one teacher, one student network, one data set, one length."""

    key: Key
    rows: list[Row] = field(default_factory=list)
    teacher_accuracies: list[float] = field(default_factory=list)
    untold: int = 0
    settings: str = ""

    def pick(self, kind: str, what: str | None = None) -> Row | None:
        """The row of that kind, of several the one with most seeds.

        It has to be made with the published recipe if the table is compared with published numbers.
        """
        fitting = [row for row in self.rows if (row.kind, row.what) == (kind, what)]
        if self.key.experiment:
            fitting = [row for row in fitting if not row.deviates]
        return max(fitting, key=lambda row: (not row.deviates, len(row.samples)), default=None)

    def method(self, what: str) -> Row | None:
        """The row of a single offline method: of an `--online none` run, else of train_student.py."""
        return self.pick("offline", what) or self.pick("single", what)

    def methods(self) -> dict[str, str]:
        """The single offline methods of the table and their labels, those of the published groups first."""
        found = {str(row.what): row.label for row in self.rows if row.kind in ("offline", "single")}
        return {name: found[name] for name in sorted(found, key=method_order) if self.method(name)}

    def onlines(self) -> list[str]:
        """The online methods of which there are runs, the paper's own first."""
        found = dict.fromkeys(str(row.what) for row in self.rows if row.kind == "best")
        return sorted(found, key=lambda name: (name != "wavg", name))


def collect(runs: Iterable[Run], warn: Callable[[str], None] = print) -> list[Group]:
    """The tables, the published experiments first. A network alone stands in every table of that student."""
    runs = list(runs)
    groups = {key: Group(key) for key in dict.fromkeys(map(key_of, runs))}
    for run in runs:
        own = key_of(run)
        taught = [key for key in groups if key.teacher and key._replace(teacher=None) == own]
        for key in (own, *taught) if run.teacher is None else (own,):
            _add(groups[key], run, warn)
    found = [group for group in groups.values() if group.rows]
    for group in found:
        _finish(group)
    number = {id(g): g.key.experiment.number if g.key.experiment else 99 for g in found}
    return sorted(found, key=lambda g: (number[id(g)], g.key.teacher is None, str(g.key)))


def _add(group: Group, run: Run, warn: Callable[[str], None]) -> None:
    group.untold += not run.settings
    if run.teacher_accuracy is not None:
        group.teacher_accuracies.append(run.teacher_accuracy)
    for row, identity, sample in lines_of(run):
        same = (row.kind, row.what, row.name, row.recipe)
        known = next((r for r in group.rows if (r.kind, r.what, r.name, r.recipe) == same), None)
        if known is None:
            group.rows.append(known := row)
        if identity in known.samples:
            if row.kind in ("alone", "single", "best"):
                warn(f"{row.name}: seed {run.seed} is there twice, {run.path} is left out")
            continue
        known.samples[identity] = sample


def _finish(group: Group) -> None:
    common = _common_settings(group.rows)
    group.settings = ", ".join(f"{name} {value}" for name, value in sorted(common))
    for row in group.rows:
        row.variant = ", ".join(
            f"{name} {value}" for name, value in row.recipe if (name, value) not in common
        )
        row.published = published_for(group.key.experiment, row)
    if control := control_row(group):
        group.rows.append(control)
    group.rows.sort(key=_place)


def _common_settings(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Settings other than the defaults that hold for all rows, or for all of the method that has them."""
    found = {entry for row in rows for entry in row.recipe}
    common = set()
    for entry in found:
        first_word = entry[0].split("_")[0]
        names = {row.name for row in rows if entry in row.recipe}
        owned = first_word in OWNERS or first_word in ONLINE_FLAGS
        affected = [row for row in rows if row.name in names or not owned]
        if all(entry in row.recipe for row in affected):
            common.add(entry)
    return common


def _place(row: Row) -> tuple:
    if row.kind in ("best", "student", "ensemble"):
        return 1, row.what != "wavg", row.what, row.variant, ORDER.index(row.kind)
    return 0, ORDER.index(row.kind), method_order(row.what or ""), row.variant


def method_order(name: str) -> tuple:
    """Sorts methods: those of the published groups, then the others by name."""
    return (STANDARD_GROUP.index(name), "") if name in STANDARD_GROUP else (len(STANDARD_GROUP), name)


def published_for(experiment: Experiment | None, row: Row) -> float | None:
    """The published accuracy in percent of what the row measures."""
    if experiment is None:
        return None
    names: Mapping[tuple, str] = {("alone", None): "alone", ("best", "wavg"): "modreduce"}
    if row.kind in ("offline", "single") and row.what in STANDARD_GROUP:
        return getattr(experiment, row.what)
    name = names.get((row.kind, row.what))
    return getattr(experiment, name) if name else None


def control_row(group: Group) -> Row | None:
    """The honest control of 'best of N': the best of N independent runs of the best single method.

    With more than N runs it is the mean over all choices of N of them; with fewer the row is a gap.
    """
    best, count = best_method(group), best_count(group)
    if best is None:
        return None
    control = Row("control", best.what, f"control: best of {count} runs of {best.name}")
    if len(best.samples) < count:
        control.note = f"{len(best.samples)} of {count} runs"
        return control
    control.samples = dict(best.samples)
    control.gathered = tuple(best_of_n(best.values(which), count) for which in ("last", "best"))
    return control


def best_method(group: Group) -> Row | None:
    """The row of the single offline method with the highest best epoch, whichever methods were run."""
    rows = [row for what in group.methods() if (row := group.method(what))]
    return max(rows, key=lambda row: row.mean("best") or 0.0, default=None)


def best_count(group: Group) -> int:
    """How many students the table's 'best of N' chooses from."""
    return next((row.students for row in group.rows if row.kind == "best"), len(STANDARD_GROUP))


def best_of_n(values: Sequence[float], count: int) -> float:
    """The mean of the largest of `count` values over all choices of `count` of them."""
    ordered, choices = sorted(values), math.comb(len(values), count)
    return sum(value * math.comb(place, count - 1) for place, value in enumerate(ordered)) / choices


def relative_improvement(ours: float, other: float, alone: float) -> float:
    """(ours - other) / (other - alone) in percent, the term of ARI (SemCKD paper)."""
    return 100 * (ours - other) / (other - alone)
