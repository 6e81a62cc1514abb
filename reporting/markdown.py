"""The report as Markdown."""

import statistics
from collections.abc import Sequence

from reporting.fifteen import (
    Comparison,
    by_experiment,
    comparisons,
    find,
    gaps,
    measures,
    methods_of,
    verdicts,
    with_networks_alone,
)
from reporting.format import EMPTY, duration, mean_seconds, minus, number, spread, table
from reporting.published import EXPERIMENTS, published_alone
from reporting.rows import Key
from reporting.tables import Group


def markdown(
    groups: Sequence[Group], figure: str, warnings: Sequence[str], run_count: int, version: str
) -> str:
    """The whole report. figure: the path of its picture as seen from the text."""
    repeated = list(by_experiment(groups).values())
    other = [group for group in groups if group.key.teacher and not group.key.experiment]
    alone = [group for group in groups if group.key.teacher is None]
    lines = [
        f"_Written by `report.py` (version {version}) from {run_count} finished runs, nothing by hand._",
        "",
        "Top-1 accuracy on the test set in percent; mean ± standard deviation over seeds. **Last** is the",
        "last epoch. **Best** is the best epoch, chosen on the test set as the published numbers were,",
        "unless a table says that it was chosen on held-out images. Differences are ours minus published.",
        "",
        f"![Accuracies of the runs]({figure})",
        "",
        "## The fifteen experiments",
        "",
    ]
    lines += fifteen(groups)
    for group in repeated:
        lines += detail(group)
    if other:
        lines += [
            "## Other runs: not comparable with the published numbers",
            "",
            "Another pair, data set, length, slice of the training set, batch size or held-out part than the",
            "published recipe has (CIFAR-100, all 50,000 images, 240 epochs, batch 64). They are compared",
            "only with each other, table by table, and never with the published numbers.",
            "",
        ]
        for group in other:
            lines += detail(group)
    if alone:
        lines += networks_alone(alone)
    lines += missing(groups)
    if warnings:
        lines += ["## Left out, or to be read with care", "", *(f"- {line}" for line in warnings), ""]
    return "\n".join(lines)


def fifteen(groups: Sequence[Group]) -> list[str]:
    """The table of experiments: a column for each, and per block last, best, published and difference."""
    known = with_networks_alone(groups)
    head = ["", "", *(str(e.number) for e in EXPERIMENTS)]
    rows = [
        ["teacher", "network", *(e.teacher for e in EXPERIMENTS)],
        ["student", "network", *(e.student for e in EXPERIMENTS)],
    ]
    measured = [known[e.number].teacher_accuracies if e.number in known else [] for e in EXPERIMENTS]
    means = [statistics.fmean(values) if values else None for values in measured]
    rows.append(["**teacher**", "measured", *map(number, means)])
    rows.append(["", "published", *(number(e.teacher_accuracy) for e in EXPERIMENTS)])
    differences = [
        None if mean is None else mean - e.teacher_accuracy
        for mean, e in zip(means, EXPERIMENTS, strict=True)
    ]
    rows.append(["", "difference", *(number(value, signed=True) for value in differences)])
    for block in measures(known.values()):
        found = [find(known.get(e.number), block) for e in EXPERIMENTS]
        rows.append([f"**{block.name}**", "last", *(spread(row, "last") for row in found)])
        rows.append(["", "best", *(spread(row, "best") for row in found)])
        if block.published:
            told = [getattr(e, block.published) for e in EXPERIMENTS]
            rows.append(["", "published", *map(number, told)])
            pairs = list(zip(found, told, strict=True))
            rows.append(["", "difference, last", *(minus(row, "last", value) for row, value in pairs)])
            rows.append(["", "difference, best", *(minus(row, "best", value) for row, value in pairs)])
        rows.append(["", "runs", *(str(len(row.samples)) if row else EMPTY for row in found)])
        if block.kind == "best":
            times = [duration(mean_seconds(row)) if row else EMPTY for row in found]
            rows.append(["", "time of a run", *times])
    lines = table(head, rows, left=2)
    if not by_experiment(groups):
        return [*lines, "None of the fifteen was run yet: see the commands below.", ""]
    return lines + conclusions(list(known.values()))


def conclusions(groups: Sequence[Group]) -> list[str]:
    """Counts, and ARI over each single method, per online method of these groups."""
    onlines = list(dict.fromkeys(name for group in groups for name in group.onlines()))
    lines = []
    for online in onlines:
        if counts := verdicts(groups, online):
            lines.append(f"- ModReduce {online}, best student of a run, best epoch: {'; '.join(counts)}.")
    found = {online: {c.method: c for c in comparisons(groups, online)} for online in onlines}
    labels = methods_of(groups)
    methods = [name for name in labels if any(name in own for own in found.values())]
    if not methods:
        return [*lines, ""] if lines else []
    rows, doubtful = [], {}
    for online, own in found.items():
        texts = [f"{c.ari:+.1f} %{_of(c, groups)}" if (c := own.get(m)) else EMPTY for m in methods]
        rows.append([f"ModReduce {online}", *texts])
        told = [own[m].published if m in own else None for m in methods]
        if any(value is not None for value in told):
            rows.append(["published", *(EMPTY if v is None else f"{v:+.1f} %" for v in told)])
        doubtful |= {m: own[m].not_above for m in methods if m in own and own[m].not_above}
    lines += ["", "Average relative improvement (ARI), best epochs: (best student of a run - method) /"]
    lines += ["(method - student alone), the mean over experiments (their number in brackets).", ""]
    lines += table(["over", *(labels[name] for name in methods)], rows)
    if doubtful:
        names = ", ".join(f"{labels[name]} in {count}" for name, count in doubtful.items())
        lines += [f"A method that is not above the student alone makes this ratio meaningless: {names}.", ""]
    return lines


def _of(comparison: Comparison, groups: Sequence[Group]) -> str:
    return f" ({comparison.experiments})" if len(groups) > 1 else ""


def heading(key: Key) -> str:
    """What a table is about, in words."""
    images = "all training images" if key.train_size is None else f"{key.train_size} training images"
    parts = [key.dataset, f"{key.epochs} epochs", images, f"batch {key.batch_size}"]
    if key.val_split:
        parts.append(f"best epoch chosen on {key.val_split:.0%} of the training images, held out")
    return ", ".join(parts)


def detail(group: Group) -> list[str]:
    """One table: every line of a pair of networks."""
    experiment, key = group.key.experiment, group.key
    title = f"Experiment {experiment.number}: " if experiment else ""
    lines = [f"### {title}{key.teacher} → {key.student}", "", f"{heading(key)}."]
    if group.teacher_accuracies:
        values = sorted({round(value, 2) for value in group.teacher_accuracies})
        text = f"Teacher: {' / '.join(map(number, values))}"
        if experiment:
            away = statistics.fmean(group.teacher_accuracies) - experiment.teacher_accuracy
            text += f" (published {number(experiment.teacher_accuracy)}, {number(away, signed=True)})"
        lines[-1] += f" {text}."
    if group.settings:
        lines[-1] += f" Settings other than the defaults: {group.settings}."
    alone = group.pick("alone")
    base = alone.mean("last") if alone else None
    if experiment:
        head = [
            "",
            "last",
            "difference",
            "best",
            "difference",
            "published",
            "runs",
            "time of a run",
            "device",
        ]
    else:
        head = ["", "last", "over alone", "best", "runs", "time of a run", "device"]
    rows = []
    for row in group.rows:
        last, best = spread(row, "last"), spread(row, "best")
        tail = [str(len(row.samples)), EMPTY, EMPTY]
        if row.samples:
            devices = dict.fromkeys(sample.device for sample in row.samples.values())
            tail[1:] = [duration(mean_seconds(row)), "; ".join(devices)]
        if row.note:
            tail[0] = row.note
        if experiment:
            told = row.published
            values = [last, minus(row, "last", told), best, minus(row, "best", told), number(told)]
        else:
            values = [last, EMPTY if row.kind == "alone" else minus(row, "last", base), best]
        rows.append([row.title, *values, *tail])
    lines += ["", *table(head, rows)]
    return lines if experiment else lines + conclusions([group])


def networks_alone(groups: Sequence[Group]) -> list[str]:
    """The table of networks trained by cross-entropy: teachers, and students alone."""
    lines = ["## Networks alone: teachers, and students without one", ""]
    rows = []
    for group in groups:
        for row in group.rows:
            key = group.key
            told = published_alone(key.student) if key.as_published and not row.deviates else []
            rows.append(
                [
                    key.student
                    + (f" [{', '.join(f'{n} {v}' for n, v in row.recipe)}]" if row.recipe else ""),
                    heading(key),
                    spread(row, "last"),
                    spread(row, "best"),
                    " / ".join(map(number, told)) or EMPTY,
                    " / ".join(minus(row, "best", value) for value in told) or EMPTY,
                    str(len(row.samples)),
                    duration(mean_seconds(row)),
                    "; ".join(dict.fromkeys(sample.device for sample in row.samples.values())),
                ]
            )
    head = [
        "network",
        "trained on",
        "last",
        "best",
        "published",
        "difference",
        "runs",
        "time of a run",
        "device",
    ]
    return lines + table(head, rows, left=2)


def missing(groups: Sequence[Group]) -> list[str]:
    """The commands of what is missing, each once, by experiment."""
    found = gaps(groups)
    if not found:
        return []
    lines = [
        "## Missing runs",
        "",
        "What is missing of the fifteen experiments, and the command that makes it. All at once, over every",
        "GPU of the machine, going on where it was stopped: `sh scripts/reproduce.sh`.",
        "",
        "```sh",
    ]
    said = set()
    for experiment in EXPERIMENTS:
        own = [gap for gap in found if gap.experiment == experiment and gap.command not in said]
        if own:
            lines.append(f"# {experiment.number}: {experiment.teacher} teaches {experiment.student}")
        for command in dict.fromkeys(gap.command for gap in own):
            names = [gap.name for gap in own if gap.command == command]
            lines.append(f"{command}  # {', '.join(dict.fromkeys(names))}")
            said.add(command)
    return [*lines, "```", ""]
