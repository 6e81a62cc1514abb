"""The published comparison: fifteen experiments, what was measured of each, and what is missing."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from reporting.published import EXPERIMENTS, PUBLISHED_METHODS, Experiment
from reporting.rows import STANDARD_GROUP, Row
from reporting.tables import Group, best_count, best_method, method_order, relative_improvement


class Measure(NamedTuple):
    """A block of the table of experiments: a row of it per group, and the field with its published number."""

    name: str
    kind: str
    what: str | None
    published: str | None


CONTROL = Measure("control: best of N runs of the best single method", "control", None, None)


class Gap(NamedTuple):
    """Something that was not run yet, and the command that does."""

    experiment: Experiment
    name: str
    kind: str
    what: str | None
    command: str


class Comparison(NamedTuple):
    """ARI of an online method's best of N over a single method, in percent, and the published one.

    experiments: those that have all three numbers; not_above: those whose single method is not better than
    the student alone, where the ratio says little.
    """

    method: str
    ari: float
    published: float | None
    experiments: int
    not_above: int


def by_experiment(groups: Iterable[Group]) -> dict[int, Group]:
    """The groups that repeat a published experiment, by its number."""
    return {group.key.experiment.number: group for group in groups if group.key.experiment}


def with_networks_alone(groups: Iterable[Group]) -> dict[int, Group]:
    """`by_experiment`, where an experiment without a run has what is known of its two networks alone."""
    groups = list(groups)
    known = by_experiment(groups)
    alone = {g.key.student: g for g in groups if g.key.teacher is None and g.key.as_published}
    for experiment in EXPERIMENTS:
        group = known.get(experiment.number)
        student, teacher = alone.get(experiment.student), alone.get(experiment.teacher)
        if group is None and (student or teacher):
            example = (student or teacher).key
            key = example._replace(teacher=experiment.teacher, student=experiment.student)
            group = known[experiment.number] = Group(key, [])
            group.rows += (
                [replace(row, published=experiment.alone) for row in student.rows] if student else []
            )
        trained = teacher.pick("alone") if teacher else None
        if group and trained and not group.teacher_accuracies:
            group.teacher_accuracies += trained.values("last")
    return known


def measures(groups: Iterable[Group]) -> list[Measure]:
    """The blocks of the table: published columns always, other methods and ensembles if there are runs."""
    groups = list(groups)
    onlines = dict.fromkeys(name for group in groups for name in group.onlines())
    blocks = [Measure("student alone", "alone", None, "alone")]
    blocks += [Measure(label, "method", name, name) for name, label in PUBLISHED_METHODS.items()]
    others = {name: label for name, label in methods_of(groups).items() if name not in PUBLISHED_METHODS}
    blocks += [Measure(label, "method", name, None) for name, label in others.items()]
    for name in sorted({"wavg", *onlines}, key=lambda name: (name != "wavg", name)):
        blocks.append(
            Measure(f"ModReduce {name}: best", "best", name, "modreduce" if name == "wavg" else None)
        )
        if any(group.pick("ensemble", name) for group in groups):
            blocks.append(Measure(f"{name}: ensemble", "ensemble", name, None))
    return [*blocks, CONTROL]


def methods_of(groups: Iterable[Group]) -> dict[str, str]:
    """The single offline methods of all these tables, and their labels."""
    found = {name: label for group in groups for name, label in group.methods().items()}
    return dict(sorted(found.items(), key=lambda pair: method_order(pair[0])))


def find(group: Group | None, measure: Measure) -> Row | None:
    """The group's row for a block; None where nothing was run."""
    if group is None:
        return None
    if measure.kind == "method":
        return group.method(str(measure.what))
    if measure.kind == "control":
        row = next((row for row in group.rows if row.kind == "control"), None)
        return row if row and row.samples else None
    return group.pick(measure.kind, measure.what)


def gaps(groups: Iterable[Group]) -> list[Gap]:
    """What is missing of the fifteen experiments, in their order, each with the command that makes it."""
    known = with_networks_alone(groups)
    return [gap for experiment in EXPERIMENTS for gap in _gaps(experiment, known.get(experiment.number))]


def _gaps(experiment: Experiment, group: Group | None) -> Iterator[Gap]:
    script = f"sh scripts/experiments/{experiment.folder}.sh"
    if group is None or not group.teacher_accuracies:
        yield Gap(experiment, "teacher", "teacher", None, train_command(experiment.teacher))
    if group is None or not group.pick("alone"):
        yield Gap(experiment, "student alone", "alone", None, train_command(experiment.student))
    missing = [name for name in PUBLISHED_METHODS if group is None or not group.method(name)]
    for name in missing:
        yield Gap(
            experiment, PUBLISHED_METHODS[name], "offline", name, f"ONLINE=none {script} --seed 1 --trial 1"
        )
    if group is None or not group.pick("best", "wavg"):
        yield Gap(experiment, "ModReduce wavg", "best", "wavg", f"{script} --seed 1 --trial 1")
    if group and not missing and not find(group, CONTROL):
        best, count = best_method(group), best_count(group)
        seeds = {seed for seed, _ in best.samples}
        words = "" if best.what in STANDARD_GROUP else f" --distill {best.what}"
        for seed in [seed for seed in range(1, 100) if seed not in seeds][
            : max(0, count - len(best.samples))
        ]:
            command = f"ONLINE=none {script}{words} --seed {seed} --trial {seed}"
            yield Gap(experiment, "control", "control", None, command)


def train_command(model: str) -> str:
    """The command that trains a network alone with the published recipe."""
    return f"python train_teacher.py --model {model} --dataset cifar100 --epochs 240 --seed 1 --trial 1"


def comparisons(groups: Sequence[Group], online: str) -> list[Comparison]:
    """ARI of the online method's best of N over each single method: the mean over these groups of
    (ours - other) / (other - student alone), best epochs, in percent.
    """
    found = []
    for method in methods_of(groups):
        terms, published, not_above = [], [], 0
        for group in groups:
            rows = group.pick("best", online), group.method(method), group.pick("alone")
            if not all(rows):
                continue
            ours, other, alone = (row.mean("best") for row in rows)
            not_above += other <= alone
            if other == alone:
                continue
            terms.append(relative_improvement(ours, other, alone))
            if (experiment := group.key.experiment) and method in PUBLISHED_METHODS:
                published.append(published_improvement(experiment, method))
        if terms:
            told = statistics.fmean(published) if len(published) == len(terms) and online == "wavg" else None
            found.append(Comparison(method, statistics.fmean(terms), told, len(terms), not_above))
    return found


def published_improvement(experiment: Experiment, method: str) -> float:
    """The published ModReduce's relative improvement over a method, in percent."""
    return relative_improvement(experiment.modreduce, getattr(experiment, method), experiment.alone)


def verdicts(groups: Sequence[Group], online: str = "wavg") -> list[str]:
    """In how many experiments the best of N is above single methods, control and published figure."""
    single, control, published = [], [], []
    for group in groups:
        ours = group.pick("best", online)
        if ours is None:
            continue
        best, methods = ours.mean("best"), [row for name in group.methods() if (row := group.method(name))]
        if methods:
            single.append(best > max(row.mean("best") for row in methods))
        if row := find(group, CONTROL):
            control.append(best > row.mean("best"))
        if ours.published is not None:
            published.append(round(best, 2) >= ours.published)
    parts = [
        (single, "above the best single method"),
        (control, "above the control"),
        (published, "at or above the published ModReduce"),
    ]
    if len(groups) == 1:
        return [f"{text}: {'yes' if found[0] else 'no'}" for found, text in parts if found]
    return [f"{text}: {sum(found)} of {len(found)}" for found, text in parts if found]
