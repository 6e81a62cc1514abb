"""The rows of all tables as one data frame: what is averaged over seeds, and what is made of the averages."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import pandas as pd

from helper.recipe import BATCH_SIZE, DATASET, EPOCHS
from reporting.published import EXPERIMENTS, PUBLISHED_ENSEMBLE, PUBLISHED_METHODS, STANDARD_GROUP, by_number
from reporting.published_methods import SOURCES, published_value
from reporting.runs import TABLE

Number = TypeVar("Number", float, pd.Series)
ROW = ["kind", "what", "row", "changed", "precision"]
KINDS = ("teacher", "alone", "offline", "single", "control", "student", "ensemble", "best")
ONLINE = ("student", "ensemble", "best")
AVERAGES = {
    "runs": ("seed", "size"),
    "last_mean": ("last", "mean"),
    "last_std": ("last", "std"),
    "best_mean": ("best", "mean"),
    "best_std": ("best", "std"),
    "lasts": ("last", list),
    "bests": ("best", list),
    "seeds": ("seed", list),
    "seconds": ("seconds", "mean"),
    "device": ("device", lambda devices: "; ".join(dict.fromkeys(devices))),
    "group_size": ("group_size", "first"),
    "label": ("label", "first"),
    "methods": ("methods", "first"),
}


def collect(frame: pd.DataFrame, warn: Callable[[str], None] = print) -> pd.DataFrame:
    """Every row of every table, the published experiments first, from the frame of the runs.

    Its columns are TABLE, ROW and: table (a number), experiment (0: none), compared (whether the table has
    more than a network alone), variant (what tells the row from others of its table), runs, mean, standard
    deviation and single values of last and best, the mean of the seconds, device, published, source (of that
    number, '' for the three papers). A network alone stands in every table of that student. A seed that is
    there twice counts once, and `warn` gets a line.
    """
    samples = _in_every_table(joined(frame, _best_of_run(frame)))
    twice = samples.duplicated([*TABLE, *ROW, "seed", "name"])
    for sample in samples[twice & samples.kind.isin(("alone", "single", "best"))].itertuples():
        warn(f"{sample.row}: seed {sample.seed} is there twice, {sample.path} is left out")
    samples = samples[~twice]
    rows = samples.groupby([*TABLE, *ROW], sort=False).agg(**AVERAGES).reset_index()
    rows = joined(rows, _teachers(samples))
    rows["experiment"] = _experiments(rows)
    rows = joined(rows, *map(_control, _tables(rows)))
    rows["variant"] = pd.concat([_variants(table) for table in _tables(rows)])
    rows["published"], rows["source"] = zip(*map(_published, rows.itertuples()), strict=True)
    rows["place"] = [_place(row) for row in rows.itertuples()]
    rows["last_table"], rows["untaught"] = rows.experiment.replace(0, 99), rows.teacher == ""
    rows = rows.sort_values(["last_table", "untaught", *TABLE, "place"], ignore_index=True)
    rows["table"] = rows.groupby(TABLE, sort=False).ngroup()
    rows["compared"] = rows.groupby("table").kind.transform(lambda kinds: set(kinds) != {"alone"})
    return rows


def joined(*frames: pd.DataFrame) -> pd.DataFrame:
    """The frames below each other; pandas before 3.0 warns of empty ones."""
    return pd.concat([frame for frame in frames if not frame.empty], ignore_index=True)


def _tables(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [table for _, table in rows.groupby(TABLE, sort=False)]


def _best_of_run(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per run with an ensemble: the best of its students."""
    students = frame[frame.kind == "student"]
    best = students.drop_duplicates("path").set_index("path")
    for which in ("last", "best"):
        best[which] = students.groupby("path")[which].max()
    best["row"] = "ModReduce " + best.what + ": best of " + best.group_size.astype(str)
    return best.assign(kind="best", name="", label="ModReduce " + best.what).reset_index()


def _in_every_table(samples: pd.DataFrame) -> pd.DataFrame:
    """The samples, those of a network alone also in the tables where a teacher teaches it."""
    teacher = ["teacher", "teacher_sha256"]
    taught = samples.loc[samples.teacher != "", TABLE].drop_duplicates()
    alone = samples[(samples.kind == "alone") & (samples.teacher == "")].drop(columns=teacher)
    return joined(samples, alone.merge(taught, on=[name for name in TABLE if name not in teacher]))


def _teachers(samples: pd.DataFrame) -> pd.DataFrame:
    """A row per table: the teacher's accuracy, as the runs measured it."""
    measured = samples.dropna(subset="teacher_accuracy").drop_duplicates([*TABLE, "path"])
    rows = measured.groupby(TABLE, sort=False).agg(
        runs=("seed", "size"), last_mean=("teacher_accuracy", "mean"), lasts=("teacher_accuracy", list)
    )
    named = {
        "kind": "teacher",
        "what": "",
        "row": "teacher",
        "precision": "",
        "label": "teacher",
        "group_size": 0,
    }
    return rows.reset_index().assign(**named, changed=[()] * len(rows), methods=[()] * len(rows))


def _experiments(rows: pd.DataFrame) -> pd.Series:
    """The number of the published experiment that a table repeats, 0 for any other."""
    numbers = {(e.teacher, e.student): e.number for e in EXPERIMENTS}
    pairs = zip(rows.teacher, rows.student, strict=True)
    return pd.Series([numbers.get(pair, 0) for pair in pairs], rows.index).where(as_published(rows), 0)


def as_published(rows: pd.DataFrame) -> pd.Series:
    """Whether data set, length and batch are those of the published numbers."""
    recipe = (rows.dataset == DATASET) & (rows.epochs == EPOCHS) & (rows.batch_size == BATCH_SIZE)
    return recipe & (rows.train_size == 0) & (rows.val_split == 0)


def _published(row: tuple) -> tuple[float, str]:
    """The published accuracy in percent of what a row measures, NaN without one; and which source it is from
    where that is none of the three papers of the fifteen experiments.
    """
    if not row.experiment:
        return math.nan, ""
    names = {
        ("teacher", ""): "teacher_accuracy",
        ("alone", ""): "alone",
        ("best", PUBLISHED_ENSEMBLE): "modreduce",
    }
    names |= {(kind, name): name for kind in ("offline", "single") for name in STANDARD_GROUP}
    single = row.kind in ("offline", "single")
    if single and (found := published_value(row.what, row.changed, row.experiment)):
        return found[1], SOURCES[found[0]].name
    name = names.get((row.kind, row.what))
    return (getattr(by_number(row.experiment), name) if name else math.nan), ""


def _variants(rows: pd.DataFrame) -> pd.Series:
    """What tells each row of a table from the others: settings that not all rows share which they concern."""
    shared = dict(common_settings(rows))
    precisions = set(rows.precision) - {""}
    texts = []
    for row in rows.itertuples():
        own = [f"{name} {text}" for name, text in row.changed if shared.get(name) != text]
        texts.append(", ".join([*own, row.precision] if len(precisions) > 1 and row.precision else own))
    return pd.Series(texts, rows.index)


def common_settings(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The changed settings of a table that hold for every row with one of the methods that they stand at."""
    found = []
    for setting in sorted({setting for changed in rows.changed for setting in changed}):
        having = rows.changed.map(lambda changed, setting=setting: setting in changed)
        concerned = set.intersection(*(set(methods) for methods in rows.methods[having]))
        others = rows[~having & ~rows.kind.isin(("teacher", "control"))]
        if not any(concerned.intersection(methods) or not concerned for methods in others.methods):
            found.append(setting)
    return found


def _place(row: tuple) -> tuple:
    """Sorts the rows of a table."""
    if row.kind in ONLINE:
        return 1, row.what != PUBLISHED_ENSEMBLE, row.what, row.variant, KINDS.index(row.kind)
    return 0, KINDS.index(row.kind), method_order(row.what), row.variant


def method_order(name: str) -> tuple:
    """Sorts methods: the published group's, then the others by name."""
    return (STANDARD_GROUP.index(name), "") if name in STANDARD_GROUP else (len(STANDARD_GROUP), name)


def chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per table, kind and what: the one with the fewest changed settings, then with most runs.

    A table that is compared with published numbers has only those with the published recipe.
    """
    deviates = rows.changed.map(bool)
    rows = rows[~deviates | (rows.experiment == 0)].assign(deviates=deviates)
    rows = rows.sort_values(["deviates", "runs"], ascending=[True, False], kind="stable")
    return rows.drop_duplicates([*TABLE, "kind", "what"]).sort_index()


def single_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per table and offline method: of an `--online none` run, else of train_student.py."""
    rows = chosen(rows)
    rows = rows[rows.kind.isin(("offline", "single"))].sort_values("kind", kind="stable")
    return rows.drop_duplicates([*TABLE, "what"]).sort_index()


def best_count(rows: pd.DataFrame) -> int:
    """How many students a table's 'best of N' chooses from."""
    return int(next(iter(rows.group_size[rows.kind == "best"]), len(STANDARD_GROUP)))


def _control(rows: pd.DataFrame) -> pd.DataFrame:
    """The honest control of 'best of N' of a table: the best of N independent runs of its best single method.

    With more than N runs it is the mean over all choices of N of them; with fewer it has no accuracy.
    """
    methods = single_methods(rows)
    if methods.empty:
        return methods
    best, count = methods.loc[[methods.best_mean.idxmax()]], best_count(rows)
    control = best.assign(kind="control", row=f"control: best of {count} runs of " + best.row, changed=[()])
    for which in ("last", "best"):
        values = best[f"{which}s"].iloc[0]
        mean = best_of_n(values, count) if len(values) >= count else math.nan
        control = control.assign(**{f"{which}_mean": mean, f"{which}_std": math.nan}, group_size=count)
    return control


def best_of_n(values: Sequence[float], count: int) -> float:
    """The mean of the largest of `count` values over all choices of `count` of them."""
    ordered, choices = sorted(values), math.comb(len(values), count)
    return sum(value * math.comb(place, count - 1) for place, value in enumerate(ordered)) / choices


def relative_improvement(ours: Number, other: Number, alone: Number) -> Number:
    """(ours - other) / (other - alone) in percent, the term of ARI (SemCKD paper)."""
    return 100 * (ours - other) / (other - alone)


def onlines(rows: pd.DataFrame) -> list[str]:
    """What learns online in these rows, the paper's own first."""
    return sorted(set(rows.what[rows.kind == "best"]), key=lambda name: (name != PUBLISHED_ENSEMBLE, name))


def comparisons(rows: pd.DataFrame, online: str) -> pd.DataFrame:
    """ARI of the best student of an online method over each single method, best epochs, in percent.

    A row per method, with its label: ari (the mean over tables), tables (that have all three numbers),
    not_above (those whose method is not above the student alone, where the ratio says little), published (NaN
    unless all tables have it).
    """
    picked, methods = chosen(rows).set_index("table"), single_methods(rows)
    methods["ours"] = methods.table.map(picked.best_mean[(picked.kind == "best") & (picked.what == online)])
    methods["alone"] = methods.table.map(picked.best_mean[picked.kind == "alone"])
    methods = methods.dropna(subset=["ours", "alone"])
    methods["not_above"] = methods.best_mean <= methods.alone
    improvement = relative_improvement(methods.ours, methods.best_mean, methods.alone)
    methods["ari"] = improvement.where(methods.best_mean != methods.alone)
    experiments = methods.experiment if online == PUBLISHED_ENSEMBLE else 0 * methods.experiment
    methods["published_ari"] = [_published_ari(*pair) for pair in zip(experiments, methods.what, strict=True)]
    found = methods.groupby("what").agg(
        label=("label", "first"), ari=("ari", "mean"), tables=("ari", "count"),
        not_above=("not_above", "sum"),
        published=("published_ari", lambda values: values.mean() if values.notna().all() else math.nan),
    )  # fmt: skip
    found = found[found.tables > 0].rename_axis("method").reset_index()
    return found.sort_values("method", key=lambda names: names.map(method_order)).reset_index(drop=True)


def _published_ari(experiment: int, method: str) -> float:
    """The published ModReduce's relative improvement over a method in percent; NaN without one."""
    if not experiment or method not in PUBLISHED_METHODS:
        return math.nan
    published = by_number(experiment)
    return relative_improvement(published.modreduce, getattr(published, method), published.alone)


def verdicts(rows: pd.DataFrame, online: str = PUBLISHED_ENSEMBLE) -> dict[str, list[bool]]:
    """Per table with such a run, whether the best student of a run is above what it has to beat.

    By what that is: the best single method, the control, the published ModReduce; tables without it left out.
    """
    picked = chosen(rows)
    ours = picked[(picked.kind == "best") & (picked.what == online)].set_index("table")
    single = single_methods(rows).groupby("table").best_mean.max()
    control = picked[picked.kind == "control"].set_index("table").best_mean
    found = {
        "above the best single method": ours.best_mean - single,
        "above the control": ours.best_mean - control,
        "at or above the published ModReduce": ours.best_mean.round(2) - ours.published + 1e-9,
    }
    return {text: list(away.dropna() > 0) for text, away in found.items() if away.notna().any()}
