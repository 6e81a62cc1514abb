"""The report over finished runs: report.md, report.csv and report.png."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from helper.errors import UserError, one_line
from helper.files import write_atomically
from helper.provenance import PROJECT_VERSION
from reporting import style
from reporting.gaps import gaps
from reporting.markdown import markdown
from reporting.published import by_number
from reporting.report_plot import report_figure
from reporting.runs import find_runs, frame
from reporting.tables import TABLE, collect, joined

BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"
COLUMNS = [
    *("experiment", *TABLE, "kind", "what", "row", "variant", "precision", "runs", "last_mean", "last_std"),
    *("best_mean", "best_std", "published", "last_minus_published", "best_minus_published"),
    *("seconds", "device", "command"),
]


def write_report(folders: Sequence[Path], out: Path, into: Path | None = None) -> list[Path]:
    """Write report.md, report.csv and report.png over all finished runs below the folders into `out`.

    into: a Markdown file whose part between the two report marks is replaced by the report. Returns what was
    written. Raises UserError when there is no run, or a file cannot be written or lacks the marks.
    """
    warnings: dict[str, None] = {}
    runs = find_runs(folders, lambda line: warnings.setdefault(line))
    rows = collect(frame(runs), lambda line: warnings.setdefault(line))
    if bare := sum(not run.settings for run in runs):
        line = f"{bare} of {len(runs)} runs have no args.json: they are taken as the published recipe"
        warnings.setdefault(line)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    before = read_marked(into) if into else None
    picture = style.save(report_figure(rows), out / "report.png", dots_per_inch=150)
    text = markdown(rows, picture.name, list(warnings), len(runs), PROJECT_VERSION)
    written = [out / "report.md", out / "report.csv", picture]
    write_atomically(written[0], f"# Report\n\n{text}")
    write_atomically(written[1], as_csv(rows))
    if into and before:
        link = os.path.relpath(picture, into.parent)
        text = markdown(rows, link, list(warnings), len(runs), PROJECT_VERSION)
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


def as_csv(rows: pd.DataFrame) -> str:
    """Every row of every table as a line, and every gap of the fifteen experiments with its command."""
    missing = gaps(rows).assign(dataset="cifar100", epochs=240, runs=0)
    for name in ("teacher", "student"):
        missing[name] = [getattr(by_number(number), name) for number in missing.experiment]
    ours = rows.assign(
        last_minus_published=rows.last_mean - rows.published,
        best_minus_published=rows.best_mean - rows.published,
    )
    table = joined(ours, missing).reindex(columns=COLUMNS)
    for name in ("experiment", "train_size"):
        table[name] = table[name].astype("Int64").replace(0, pd.NA)
    return table.astype({"batch_size": "Int64"}).round(4).to_csv(index=False, lineterminator="\n")
