"""The published numbers of the methods: CIFAR-100 top-1 accuracy on the test set, in percent.

Tables stand here as they were published, a row per method, a column per experiment of `reporting.published`,
and None where a table has no number. Left out are pairs of networks that are none of the fifteen experiments
(those with the teacher ResNet50, for one), numbers that could not be checked against a public repository or
that come from a third party's comparison (all of OFD, CAT-KD and RLD, single ones of others), and what
`train_student.py` cannot run: CTKD with standardised logits, WTTM with ITRD, and KDCL, which is an online
method.
"""

from typing import NamedTuple


class Source(NamedTuple):
    """Where numbers come from; epoch: of which they are, 'last', 'best' (on the test set) or 'not said'."""

    name: str
    epoch: str
    remark: str = ""


SOURCES: dict[str, Source] = {
    "repdistiller": Source("RepDistiller", "last"),
    "semckd": Source("SemCKD", "not said", "means of several runs"),
    "mdistiller": Source("mdistiller", "best"),
    "reviewkd": Source("ReviewKD", "not said"),
    "dist": Source("DIST", "not said"),
    "simkd": Source("SimKD", "not said", "the network ends in the teacher's classifier"),
    "ickd": Source("ICKD", "not said", "ICKD-C with KD"),
    "itrd": Source("ITRD", "not said"),
    "norm": Source("NORM", "not said", "the weight of CE searched per pair; that of KD is not said"),
    "ls": Source("Logit Standardization", "best", "MLKD: 480 epochs, 960 for ShuffleNets"),
    "ls_cited": Source("other methods in Logit Standardization", "not said", "MLKD: 240 to 960 epochs"),
    "sdd": Source("SDD", "best", "experiments 9 and 10: means of two runs"),
    "ttm": Source("TTM", "not said"),
    "luminet": Source("LumiNet", "best"),
    "wkd": Source("WKD", "not said", "costs between classes from the teacher's features (--wkd_cost)"),
    "mrd": Source("MRD", "best"),
    "skd": Source("SKD", "not said", "each image twice per epoch; another version of its table is lower"),
}

# a source's columns, as experiments; all tables of newer methods have the same ones
REPDISTILLER = (1, 2, 3, 4, 5, 9, 10, 6, 7, 11, 8)
SEMCKD = (12, 13, 14, 11, 15, 10, 9)
NEWER = (9, 10, 2, 1, 3, 5, 7, 11, 6)
COLUMNS = dict.fromkeys(SOURCES, NEWER) | {"repdistiller": REPDISTILLER, "semckd": SEMCKD}

# source -> method, with all flags that differ from the method's defaults -> a value per column
TABLES: dict[str, dict[str, tuple[float | None, ...]]] = {
    "repdistiller": {
        "kd -r 0.1 -a 0.9": (74.92, 73.54, 70.66, None, 73.08, 73.33, 72.98, 67.37, 74.07, 74.45, None),
        "at": (74.08, 72.77, 70.55, 70.22, 72.31, 73.44, 71.43, 59.40, 71.73, 72.73, 73.32),
        "sp": (73.83, 72.43, 69.67, 70.04, 72.69, 72.94, 72.68, 66.30, 73.48, 74.56, 74.52),
        "cc": (73.56, 72.21, 69.63, 69.48, 71.48, 72.97, 70.71, 64.86, 71.14, 71.29, 71.38),
        "vid": (74.11, 73.30, 70.38, 70.16, 72.61, 73.09, 71.23, 65.56, 73.38, 73.40, 73.61),
        "pkt": (74.54, 73.45, 70.34, 70.25, 72.61, 73.64, 72.88, 67.13, 74.10, 74.69, 73.89),
        "ab": (72.50, 72.38, 69.47, 69.53, 70.98, 73.17, 70.94, 66.06, 73.55, 74.31, 73.34),
        "ft": (73.25, 71.59, 69.84, 70.22, 72.37, 72.86, 70.58, 61.78, 71.75, 72.50, 72.03),
        "fsp": (72.91, None, 69.95, 70.11, 71.89, 72.62, 70.23, None, None, None, None),
        "nst": (73.68, 72.24, 69.60, 69.53, 71.96, 73.30, 71.53, 58.16, 74.12, 74.68, 74.89),
        "crd -a 0": (75.48, 74.14, 71.16, None, 73.48, 75.51, 73.94, 69.73, 75.11, 75.65, None),
    },
    "semckd": {
        "at -a 1": (71.90, 77.23, 75.41, 75.91, 68.79, 73.51, 75.07),
        "sp -a 1": (73.12, 77.72, 75.54, 75.77, 68.48, 73.53, 74.29),
        "vid -a 1": (73.19, 77.45, 75.22, 75.55, 68.37, 73.63, 74.55),
        "hkd": (72.63, 76.76, 76.24, 76.64, 69.23, 73.06, 74.86),
    },
    "reviewkd": {
        "reviewkd": (75.63, 74.84, 75.09, 76.12, 71.89, 73.89, 77.45, 77.78, 70.37),
    },
    "mdistiller": {
        "dkd": (76.32, 74.68, 74.81, 76.24, 71.97, 74.11, 76.45, 77.07, 69.71),
        "kd -r 0.1 -a 0.9 --optimizer dot": (75.12, 73.77, None, None, None, None, None, 75.55, None),
    },
    "dist": {
        "dist": (76.31, 73.89, 74.43, 75.51, 71.75, 73.69, 76.34, 77.35, 68.50),
    },
    "simkd": {
        "simkd": (78.08, None, 75.56, None, None, None, 77.18, None, None),
    },
    "ickd": {
        "ickd": (75.48, 73.88, 74.63, 75.57, 71.69, 74.11, None, None, None),
    },
    "itrd": {
        "itrd": (76.69, 74.93, 75.18, 76.12, 71.47, 74.26, 76.69, 77.40, 70.39),
    },
    "norm": {
        "norm": (76.49, 73.95, 74.82, 75.65, 71.35, 73.67, 77.42, 78.07, 68.94),
        "norm -a 1": (76.98, 74.46, 75.42, 76.26, 71.61, 73.95, 77.79, 78.32, 69.38),
    },
    "ls_cited": {
        "mlkd": (77.08, 75.18, 75.35, 76.63, 72.19, 74.11, None, 78.44, 70.57),
        "ctkd": (73.39, 73.52, 73.93, 75.45, 71.19, 73.52, None, 75.37, 68.50),
    },
    "ls": {
        "kd --logit_stand": (76.62, 74.36, 74.37, 76.11, 71.43, 74.17, None, 75.56, 68.61),
        "dkd --logit_stand": (77.01, 74.81, 74.89, 76.39, 72.32, 74.29, None, 77.37, 69.98),
        "mlkd --logit_stand": (78.28, 75.22, 75.56, 76.95, 72.33, 74.32, None, 78.76, 70.94),
    },
    "sdd": {
        "sdd": (75.45, 73.47, None, None, None, None, 76.30, 76.67, 68.79),
        "sdd_dkd": (None, 74.40, None, None, None, None, 77.30, 78.05, 70.25),
    },
    "ttm": {
        "ttm": (76.17, 74.33, 74.32, 76.23, 71.83, 73.97, 74.18, 76.57, 68.98),
        "wttm": (76.06, 74.44, 74.58, 76.37, 71.92, 74.13, 74.37, 76.55, 69.16),
    },
    "luminet": {
        "luminet": (77.50, 74.94, 75.12, 76.38, 72.29, 74.20, 76.66, 77.55, 70.50),
    },
    "wkd": {
        "wkd --wkd_part logits": (76.53, None, None, None, None, None, None, None, None),
        "wkd --wkd_part features": (76.77, None, None, None, None, None, None, None, None),
        "wkd": (77.28, None, None, None, None, None, None, None, None),
    },
    "mrd": {
        "mrd": (77.46, 74.51, 74.96, 76.32, 71.80, 73.70, 77.18, 78.13, 70.24),
    },
    "skd": {
        "skd": (78.33, 75.75, 76.04, 76.60, 72.50, 74.84, None, None, None),
    },
}


def by_method() -> dict[str, dict[str, dict[int, float]]]:
    """The tables, turned: method -> source -> number of the experiment -> percent."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for source, rows in TABLES.items():
        for method, values in rows.items():
            pairs = zip(COLUMNS[source], values, strict=True)
            found.setdefault(method, {})[source] = {n: value for n, value in pairs if value is not None}
    return found


PUBLISHED = by_method()
LETTERS = {"-r": "gamma", "-a": "alpha", "-b": "beta"}


def settings_of(key: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The method of a key of PUBLISHED, and its flags as the changed settings of a run, (name, text)."""
    method, *words = key.split()
    found: dict[str, str] = {}
    for word in words:
        if word.startswith("-"):
            name = LETTERS.get(word, word.removeprefix("--"))
            found[name] = "True"
        else:
            found[name] = str(float(word)) if word.replace(".", "").isdecimal() else word
    return method, tuple(sorted(found.items()))


BY_SETTINGS = {settings_of(key): sources for key, sources in PUBLISHED.items()}


def published_value(
    method: str, changed: tuple[tuple[str, str], ...], experiment: int
) -> tuple[str, float] | None:
    """The source and the accuracy of a method with these changed settings; None where none is published."""
    for source, values in BY_SETTINGS.get((method, changed), {}).items():
        if experiment in values:
            return source, values[experiment]
    return None
