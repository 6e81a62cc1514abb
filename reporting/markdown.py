"""The report as Markdown, from the rows of all tables."""

import math
from collections.abc import Sequence

import pandas as pd

from reporting.gaps import commands
from reporting.published import published_alone
from reporting.published_methods import SOURCES
from reporting.tables import (
    as_published,
    chosen,
    common_settings,
    comparisons,
    onlines,
    single_methods,
    verdicts,
)

EMPTY = "–"  # noqa: RUF001 (a gap in a printed table is a dash)
CONTROL = "control: best of N runs of the best single method"
BLOCK = ["last", "best", "published", "difference, last", "difference, best", "runs"]
HEAD = """\
_Written by `report.py` (version {version}) from {runs} finished runs, nothing by hand._

Top-1 accuracy on the test set in percent; mean ± standard deviation over seeds. **Last** is the last
epoch. **Best** is the best epoch, chosen on the test set as the published numbers were, unless a table says
that it was chosen on held-out images. Differences are ours minus published.

![Accuracies of the runs]({figure})
"""
OTHER = """\
## Other runs: not comparable with the published numbers

Another pair, data set, length, slice of the training set, batch size or held-out part than the published
recipe has (CIFAR-100, all 50,000 images, 240 epochs, batch 64). They are compared only with each other, table
by table, and never with the published numbers.
"""
ARI = """\
Average relative improvement (ARI), best epochs: (best student of a run - method) / (method - student alone),
the mean over experiments (their number in brackets).
"""


def markdown(rows: pd.DataFrame, figure: str, warnings: Sequence[str], run_count: int, version: str) -> str:
    """The whole report. figure: the path of its picture as seen from the text."""
    repeated = rows[rows.experiment > 0]
    other = rows[(rows.experiment == 0) & rows.compared]
    alone = rows[(rows.kind == "alone") & (rows.teacher == "")]
    parts = [HEAD.format(version=version, runs=run_count, figure=figure)]
    if not repeated.empty:
        parts += ["## The fifteen experiments\n", fifteen(repeated), conclusions(repeated)]
        parts += [detail(table) for _, table in repeated.groupby("table")]
    if not other.empty:
        parts.append(OTHER)
        for _, table in other.groupby("table"):
            parts += [detail(table), conclusions(table)]
    if not alone.empty:
        parts += ["## Networks alone: teachers, and students without one\n", networks_alone(alone)]
    if missing := commands(rows):
        parts += ["## Not run yet\n", "\n".join(missing) + "\n"]
    if warnings:
        parts += [
            "## Left out, or to be read with care\n",
            "\n".join(f"- {line}" for line in warnings) + "\n",
        ]
    return "\n".join(part for part in parts if part)


def texts(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of tables as their reader sees them, for each of these rows."""
    cells = {"": [f"{row.row} [{row.variant}]" if row.variant else row.row for row in rows.itertuples()]}
    for which in ("last", "best"):
        mean, deviation = rows[f"{which}_mean"], rows[f"{which}_std"]
        cells[which] = [
            shown(value) + ("" if math.isnan(spread) else f" ± {spread:.2f}")
            for value, spread in zip(mean, deviation, strict=True)
        ]
        cells[f"difference, {which}"] = [shown(value, "+") for value in mean - rows.published]
    cells["published"] = [shown(value) for value in rows.published]
    cells["runs"] = [
        f"{row.runs} of {row.group_size}"
        if row.kind == "control" and row.runs < row.group_size
        else str(row.runs)
        for row in rows.itertuples()
    ]
    cells["time of a run"] = [duration(value) for value in rows.seconds]
    cells["device"] = list(rows.device.fillna(EMPTY))
    return pd.DataFrame(cells, index=rows.index)


def shown(value: float, sign: str = "") -> str:
    """Two digits after the point, or a dash."""
    return EMPTY if math.isnan(value) else f"{value:{sign}.2f}"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if not seconds < 5400:
        return EMPTY if math.isnan(seconds) else f"{seconds / 3600:.1f} h"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def as_table(cells: pd.DataFrame, left: int = 1) -> str:
    """Texts as a Markdown table, the first `left` columns aligned to the left."""
    sides = ["left"] * left + ["right"] * (cells.shape[1] - left)
    return cells.to_markdown(index=False, disable_numparse=True, colalign=sides) + "\n"


def fifteen(rows: pd.DataFrame) -> str:
    """A column per experiment that was run, and per block what was measured beside what was published."""
    picked = chosen(rows)
    picked = pd.concat([picked[~picked.kind.isin(("student", "offline", "single"))], single_methods(rows)])
    names = {"control": CONTROL, "alone": "student alone", "best": "{}: best", "ensemble": "{}: ensemble"}
    picked["block"] = [names.get(row.kind, "{}").format(row.label) for row in picked.itertuples()]
    tables = rows.drop_duplicates("table").set_index("table")
    twice = tables.experiment.duplicated(keep=False)
    hashes = (" (" + tables.teacher_sha256.str[:8] + ")").where(twice, "")
    lines = [["", name, *tables[name]] for name in ("teacher", "student")]
    for block, own in picked.sort_values("place").groupby("block", sort=False):
        cells = texts(own).set_index(own.table).reindex(tables.index, fill_value=EMPTY)
        kinds = [kind for kind in BLOCK if (cells[kind] != EMPTY).any()]
        kinds += ["time of a run"] if own.kind.iloc[0] == "best" else []
        lines += [[f"**{block}**" if kind == kinds[0] else "", kind, *cells[kind]] for kind in kinds]
    head = ["", " ", *(tables.experiment.astype(str) + hashes)]
    return as_table(pd.DataFrame(lines, columns=head), left=2)


def conclusions(rows: pd.DataFrame) -> str:
    """Counts, and ARI over each single method, per online method of these rows."""
    several = rows.table.nunique() > 1
    verdict, table, doubtful = [], [], {}
    for online in onlines(rows):
        said = [
            f"{text}: " + (f"{sum(each)} of {len(each)}" if several else "yes" if each[0] else "no")
            for text, each in verdicts(rows, online).items()
        ]
        if said:
            start = f"- ModReduce {online}, best student of a run, best epoch: "
            verdict.append(start + "; ".join(said) + ".\n")
        compared = comparisons(rows, online)
        cells = {
            row.label: f"{row.ari:+.1f} %" + f" ({row.tables})" * several for row in compared.itertuples()
        }
        table.append({"over": f"ModReduce {online}"} | cells)
        if compared.published.notna().any():
            cells = {row.label: f"{row.published:+.1f} %" for row in compared.dropna().itertuples()}
            table.append({"over": "published"} | cells)
        doubtful |= {row.label: row.not_above for row in compared.itertuples() if row.not_above}
    parts = ["".join(verdict)]
    if any(len(line) > 1 for line in table):
        parts += [ARI, as_table(pd.DataFrame(table).fillna(EMPTY))]
    if doubtful:
        names = ", ".join(f"{name} in {count}" for name, count in doubtful.items())
        parts.append(f"A method that is not above the student alone makes this ratio meaningless: {names}.\n")
    return "\n".join(part for part in parts if part)


def heading(table: pd.Series) -> str:
    """What a table is about, in words."""
    images = f"{table.train_size} training images" if table.train_size else "all training images"
    text = f"{table.dataset}, {table.epochs} epochs, {images}, batch {table.batch_size}"
    if table.val_split:
        text += f", best epoch chosen on {table.val_split:.0%} of the training images, held out"
    return text


def detail(rows: pd.DataFrame) -> str:
    """One table: every line of a pair of networks."""
    table, teacher, rows = rows.iloc[0], rows[rows.kind == "teacher"], rows[rows.kind != "teacher"]
    cells = texts(rows)
    said = [f"{heading(table)}."]
    if not teacher.empty:
        values = " / ".join(map(shown, sorted({round(value, 2) for value in teacher.lasts.iloc[0]})))
        beside = texts(teacher).iloc[0]
        difference = (
            f" (published {beside.published}, {beside['difference, last']})" if table.experiment else ""
        )
        said.append(f"Teacher: {values}{difference}.")
    if known := [
        f"{name} {table[f'{name}_sha256'][:8]}" for name in ("data", "teacher") if table[f"{name}_sha256"]
    ]:
        said.append(f"SHA-256: {', '.join(known)}.")
    if common := common_settings(rows):
        said.append(f"Settings other than the defaults: {', '.join(' '.join(pair) for pair in common)}.")
    columns = [
        "",
        "last",
        "difference, last",
        "best",
        "difference, best",
        "published",
        "runs",
        "time of a run",
    ]
    if not table.experiment:
        columns = ["", "last", "over alone", "best", "runs", "time of a run"]
        alone = chosen(rows).query("kind == 'alone'").last_mean
        over = rows.last_mean - (alone.iloc[0] if len(alone) else math.nan)
        cells["over alone"] = [shown(value, "+") for value in over.where(rows.kind != "alone")]
    for name, values in (("Precision", set(rows.precision) - {""}), ("Device", set(rows.device))):
        if len(values) == 1:
            said.append(f"{name}: {values.pop()}.")
        elif name == "Device":
            columns.append("device")
    title = f"Experiment {table.experiment}: " if table.experiment else ""
    title += f"{table.teacher} → {table.student}" if table.teacher else f"{table.student} without a teacher"
    return f"### {title}\n\n{' '.join(said)}\n\n{as_table(cells[columns])}{sources(rows)}"


def sources(rows: pd.DataFrame) -> str:
    """Where the published numbers of these rows come from, and of which epoch they are."""
    epochs = {source.name: source for source in SOURCES.values()}
    found = []
    for name, own in rows[rows.source.fillna("") != ""].groupby("source", sort=False):
        source = epochs[name]
        epoch = "epoch not said" if source.epoch == "not said" else f"{source.epoch} epoch"
        about = "; ".join(filter(None, (epoch, source.remark)))
        found.append(f"{', '.join(dict.fromkeys(own.label))}: {name} ({about})")
    return f"\nPublished numbers of other methods: {'. '.join(found)}.\n" if found else ""


def networks_alone(rows: pd.DataFrame) -> str:
    """The table of networks trained by cross-entropy: teachers, and students alone."""
    cells = texts(rows)
    settings = [[*(" ".join(pair) for pair in row.changed), row.precision] for row in rows.itertuples()]
    cells[""] = rows.student + [
        f" [{', '.join(filter(None, words))}]" if any(words) else "" for words in settings
    ]
    cells["trained on"] = [heading(row) for _, row in rows.iterrows()]
    ours = as_published(rows) & ~rows.changed.map(bool)
    told = [
        published_alone(name) if repeated else [] for name, repeated in zip(rows.student, ours, strict=True)
    ]
    cells["published"] = [" / ".join(map(shown, values)) or EMPTY for values in told]
    cells["difference, best"] = [
        " / ".join(shown(mean - value, "+") for value in values) or EMPTY
        for mean, values in zip(rows.best_mean, told, strict=True)
    ]
    columns = [
        "",
        "trained on",
        "last",
        "best",
        "published",
        "difference, best",
        "runs",
        "time of a run",
        "device",
    ]
    kept = [name for name in columns if (cells[name] != EMPTY).any()]
    return as_table(cells[kept].rename(columns={"": "network"}), left=2)
