"""A run's folder put back into the form that version 0.1 gave it."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from helper.checkpoint import read_checkpoint, write_checkpoint

TERMS = ("loss", "correct", "ce", "kd", "method", "online")
# the flags of version 0.1; the values that were defaults then, and are now None
FLAGS = """model model_s distill path_t model_t gamma alpha beta kd_T online online_start online_weight
online_weight_start multiplier ensemble_lr pcl_T pcl_decay pcl_ramp_up hint_layer rkd_distance rkd_angle nce_k
nce_t nce_m feat_dim crd_mode dataset data_folder batch_size val_split train_size epochs learning_rate
lr_decay_epochs lr_decay_rate weight_decay momentum clip_grad seed trial save_folder resume device precision
deterministic compile cuda_graph"""
DEFAULTS = {"gamma": 1.0, "alpha": 1.0, "kd_T": 4.0}
RESULTS = [
    "script",
    "dataset",
    "epochs",
    "seed",
    "seconds",
    "images_per_second",
    "device",
    "versions",
    "teacher",
]
STUDENT = ["name", "model", "distill", "parameters", "test_acc_last", "test_acc_best", "best_epoch"]
STUDENT += ["test_acc_top5_last", "test_loss_last"]


def make_former(folder: Path) -> None:
    """Rewrite the states, args.json and results.json of a run."""
    for name in ("last.pth", "previous.pth"):
        if (folder / name).exists():
            write_checkpoint(former_state(read_checkpoint(folder / name)), folder / name)
    args = json.loads((folder / "args.json").read_text())
    kept = {key: args[key] for key in ("command", "device", "versions", "git_commit")}
    kept["settings"] = former_settings(args["settings"])
    (folder / "args.json").write_text(json.dumps(kept))
    path = folder / "results.json"
    if path.exists():
        results = json.loads(path.read_text())
        former = {key: results[key] for key in (*RESULTS, "teacher", "ensemble")}
        former["students"] = [{key: student[key] for key in STUDENT} for student in results["students"]]
        path.write_text(json.dumps(former))


def former_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """All flags side by side, and what was resolved among them."""
    flat: dict[str, Any] = {}
    for record in ("data", "recipe", "compute", "place", "options"):
        flat |= settings[record]
    flat = {name: flat[name] for name in FLAGS.split() if name in flat}
    flat |= {name: value for name, value in DEFAULTS.items() if flat.get(name, 0) is None}
    return flat | {k: value for k, value in settings["resolved"].items() if k != "eval_precision"}


def former_state(state: dict[str, Any]) -> dict[str, Any]:
    """Sums of the batches' means (students, 6); a random stream, or None, for each student."""
    progress = {key: value for key, value in state["progress"].items() if key != "stage"}
    random = state["random"]
    settings = former_settings(state["settings"])
    methods = settings["distill"] if isinstance(settings["distill"], list) else [settings["distill"]]
    streams = iter(random["methods"])
    own = [None if method == "kd" else next(streams) for method in methods]
    own = [stream if method == "crd" else None for method, stream in zip(methods, own, strict=True)]
    return {
        **state,
        "settings": settings,
        "progress": progress,
        "sums": former_sums(state["sums"], len(methods), progress["step"]),
        "random": {**random, "methods": own},
    }


def former_sums(sums: dict[str, Any], students: int, steps: int) -> Tensor:
    """(students, 6), of the batches' means."""
    former = sums["sums"].new_zeros(students, len(TERMS))
    for place, term in enumerate(sums["terms"]):
        former[:, TERMS.index(term)] = sums["sums"][:, place] * steps / max(sums["images"], 1)
    return former
