"""Made-up folders of finished runs, for the tests of what reads them."""

import json
from pathlib import Path

from reporting import runs as report_runs
from reporting import tables as report_table

DEFAULTS = {"batch_size": 64, "train_size": None, "val_split": 0.0, "nce_k": 16384, "learning_rate": None}


class Runs:
    """Writes made-up run folders below a folder."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0

    def add(self, students, seed=1, teacher=None, online=None, script="train_modreduce", name=None, **more):
        """students: {(name, method): last}, best epoch 0.5 above; labels: those that the methods have."""
        labels = more.pop("labels", {})
        self.count += 1
        folder = self.folder / script / (name or f"run_{self.count}")
        folder.mkdir(parents=True)
        results = {
            "script": script,
            "dataset": more.pop("dataset", "cifar100"),
            "epochs": more.pop("epochs", 240),
            "seed": seed,
            "seconds": 100.0 + self.count,
            "images_per_second": 1000.0,
            "device": "Test GPU",
            "versions": {},
            "teacher": teacher and {"model": teacher, "test_acc": more.pop("teacher_accuracy", 79.0)},
            "students": [
                {
                    "name": own,
                    "model": more.get("model", "resnet8x4"),
                    "distill": method,
                    "label": labels.get(method),
                    "test_acc_last": last,
                    "test_acc_best": last + 0.5,
                }
                for (own, method), last in students.items()
            ],
            "ensemble": online
            and {"online": online, "weights": None, "test_acc_last": 78.0, "test_acc_best": 78.5},
        }
        more.pop("model", None)
        settings = DEFAULTS | {"online": online or "none", "seed": seed, "trial": str(seed)} | more
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "args.json").write_text(json.dumps({"settings": settings}))
        return folder

    def alone(self, last, seed=1, model="resnet8x4", **more):
        return self.add({("teacher", None): last}, seed, script="train_teacher", model=model, **more)

    def group(self, kd, crd, semckd, seed=1, online=None, teacher="resnet32x4", **more):
        names = (("kd", "kd"), ("crd", "crd"), ("semckd", "semckd"))
        return self.add(dict(zip(names, (kd, crd, semckd), strict=True)), seed, teacher, online, **more)

    def groups(self, warn=lambda line: None):
        return report_table.collect(report_runs.find_runs([self.folder], warn), warn)
