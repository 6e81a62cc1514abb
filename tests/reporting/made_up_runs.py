"""Made-up folders of finished runs, for the tests of what reads them."""

import json
from pathlib import Path

import pandas as pd

from helper.results import EnsembleScore, Results, StudentScore, TeacherScore
from reporting.runs import find_runs, frame
from reporting.tables import chosen, collect, single_methods

DATA = ("dataset", "data_folder", "batch_size", "train_size", "val_split")
RECIPE = ("epochs", "learning_rate", "lr_decay_epochs", "weight_decay", "clip_grad")
OWNERS = {"nce_k": ["crd"], "crd_mode": ["crd"], "online_weight": ["wavg", "one"], "pcl_T": ["pcl"]}
LABELS = {"kd": "KD", "crd": "CRD", "semckd": "SemCKD"}


class Runs:
    """Writes made-up run folders below a folder."""

    def __init__(self, folder: Path, old: bool = False):
        """old: args.json is that of version 0.1."""
        self.folder, self.count, self.old = folder, 0, old

    def add(
        self, students, seed=1, teacher=None, online=None, script="train_modreduce", labels=LABELS, **more
    ):
        """students: {(name, method): last}, best epoch 0.5 above; more: of settings and results."""
        self.count += 1
        folder = self.folder / script / f"run_{self.count}"
        folder.mkdir(parents=True)
        about = {name: more.pop(name, None) for name in ("data_sha256", "teacher_sha256", "precision")}
        model, accuracy = more.pop("model", "resnet8x4"), more.pop("teacher_accuracy", 79.0)
        settings = {"dataset": "cifar100", "epochs": 240} | more
        scores = tuple(
            StudentScore(name, model, method, last, last + 0.5, label=labels.get(method, ""))
            for (name, method), last in students.items()
        )
        results = Results(
            script=script, dataset=settings["dataset"], epochs=settings["epochs"], seed=seed,
            seconds=100.0 + self.count, device="Test GPU", students=scores,
            teacher=TeacherScore(teacher, accuracy) if teacher else None,
            ensemble=EnsembleScore(online, 78.0, 78.5) if online else None, **about,
        )  # fmt: skip
        results.write(folder / "results.json")
        asked = {"seed": seed, "trial": str(seed), "online": online or "none"} | settings
        asked = self.old_args(asked, about) if self.old else self.args(asked, settings, about)
        (folder / "args.json").write_text(json.dumps(asked))
        return folder

    def old_args(self, asked, about):
        defaults = {"batch_size": 64, "train_size": None, "val_split": 0.0, "nce_k": 16384, "gamma": 1.0}
        return {"settings": defaults | {"learning_rate": None} | about | asked}

    def args(self, asked, changed, about):
        parts = {"data": DATA, "recipe": RECIPE, "place": ("trial",)}
        nested = {part: {n: asked[n] for n in names if n in asked} for part, names in parts.items()}
        known = {name for names in parts.values() for name in names}
        nested["options"] = {name: value for name, value in asked.items() if name not in known}
        resolved = {name: value for name, value in about.items() if value is not None}
        return {"settings": nested | {"resolved": resolved}, "changed": changed, "owners": OWNERS}

    def alone(self, last, seed=1, model="resnet8x4", **more):
        return self.add({("teacher", None): last}, seed, script="train_teacher", model=model, **more)

    def group(self, kd, crd, semckd, seed=1, online=None, teacher="resnet32x4", **more):
        names = (("kd", "kd"), ("crd", "crd"), ("semckd", "semckd"))
        return self.add(dict(zip(names, (kd, crd, semckd), strict=True)), seed, teacher, online, **more)

    def nine(self):
        """Three seeds of everything of experiment 9."""
        for seed, shift in ((1, 0.0), (2, 0.3), (3, -0.3)):
            self.alone(72.0 + shift, seed)
            self.group(74.0 + shift, 74.5 - shift, 75.0 + shift, seed)
            self.group(75.0, 75.5 + shift, 76.0 - shift, seed, online="wavg")

    def rows(self, warn=lambda line: None) -> pd.DataFrame:
        """The rows of all tables over these runs."""
        return collect(frame(find_runs([self.folder], warn)), warn)


def pick(rows: pd.DataFrame, kind: str, what: str = "") -> pd.Series | None:
    """The row that stands for this in comparisons; kind: also 'method', of whichever script."""
    found = single_methods(rows) if kind == "method" else chosen(rows)
    found = found[((found.kind == kind) | (kind == "method")) & ((found.what == what) | (kind == "control"))]
    return found.iloc[0] if len(found) else None
