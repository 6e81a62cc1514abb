"""The report over finished runs: report.md, report.csv and report.png."""

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from helper.errors import UserError, one_line
from helper.files import write_atomically
from helper.provenance import PROJECT_VERSION
from reporting import style
from reporting.fifteen import gaps
from reporting.markdown import markdown
from reporting.report_plot import report_figure
from reporting.rows import Row
from reporting.runs import find_runs
from reporting.tables import Group, collect

BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"
COLUMNS = (
    "experiment", "dataset", "teacher", "student", "epochs", "train_size", "val_split", "batch_size", "kind",
    "what", "row", "variant", "runs", "last_mean", "last_std", "best_mean", "best_std", "published",
    "last_minus_published", "best_minus_published", "seconds", "device", "command",
)  # fmt: skip


def warn(line: str) -> None:
    """A line of warning on standard error."""
    print(f"warning: {line}", file=sys.stderr)


def write_report(folders: Sequence[Path], out: Path, into: Path | None = None) -> list[Path]:
    """Write report.md, report.csv and report.png over all finished runs below the folders into `out`.

    into: a Markdown file whose part between the two report marks is replaced by the report. Returns what was
    written. Raises UserError when there is no run, or a file cannot be written or lacks the marks.
    """
    warnings: dict[str, None] = {}
    runs = find_runs(folders, lambda line: warnings.setdefault(line))
    groups = collect(runs, lambda line: warnings.setdefault(line))
    if untold := sum(not run.settings for run in runs):
        line = f"{untold} of {len(runs)} runs have no args.json: they are taken as the published recipe"
        warnings.setdefault(line)
    for line in warnings:
        warn(line)
    before = read_marked(into) if into else None
    picture = style.save(report_figure(groups), out / "report.png", dots_per_inch=150)
    text = markdown(groups, picture.name, list(warnings), len(runs), PROJECT_VERSION)
    written = [out / "report.md", out / "report.csv", picture]
    write_atomically(written[0], f"# Report\n\n{text}")
    write_atomically(written[1], as_csv(groups))
    if into and before:
        link = os.path.relpath(picture, into.parent)
        text = markdown(groups, link, list(warnings), len(runs), PROJECT_VERSION)
        write_atomically(into, f"{before[0]}{BEGIN}\n{text}\n{END}{before[1]}")
        written.append(into)
    return written


def read_marked(path: Path) -> tuple[str, str]:
    """What stands before and after the part of a file that the report may replace."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--into {path} cannot be read: {one_line(error)}") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(f"--into {path} must have one line {BEGIN} and, below it, one line {END}")
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]


def as_csv(groups: Sequence[Group]) -> str:
    """Every row of every table as a line, and every gap of the fifteen experiments with its command."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for group in groups:
        key = group.key._asdict()
        key["experiment"] = group.key.experiment.number if group.key.experiment else None
        if values := group.teacher_accuracies:
            mean = sum(values) / len(values)
            told = group.key.experiment.teacher_accuracy if group.key.experiment else None
            line = {
                "kind": "teacher",
                "row": "teacher",
                "runs": len(values),
                "last_mean": mean,
                "published": told,
            }
            away = None if told is None else mean - told
            writer.writerow(_rounded({**key, **line, "last_minus_published": away}))
        for row in group.rows:
            writer.writerow(_rounded({**key, **_cells(row)}))
    for gap in gaps(groups):
        pair = {"teacher": gap.experiment.teacher, "student": gap.experiment.student, "dataset": "cifar100"}
        line = {"experiment": gap.experiment.number, "kind": gap.kind, "what": gap.what, "row": gap.name}
        writer.writerow({**pair, **line, "epochs": 240, "runs": 0, "command": gap.command})
    return text.getvalue()


def _cells(row: Row) -> dict[str, object]:
    cells: dict[str, object] = {"kind": row.kind, "what": row.what, "row": row.name, "variant": row.variant}
    for which in ("last", "best"):
        mean = row.mean(which)
        cells |= {f"{which}_mean": mean, f"{which}_std": row.deviation(which)}
        if mean is not None and row.published is not None:
            cells[f"{which}_minus_published"] = mean - row.published
    samples = row.samples.values()
    seconds = sum(sample.seconds for sample in samples) / len(samples) if samples else None
    devices = "; ".join(dict.fromkeys(sample.device for sample in samples))
    return cells | {"runs": len(samples), "published": row.published, "seconds": seconds, "device": devices}


def _rounded(cells: dict[str, object]) -> dict[str, object]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in cells.items()}
