"""Every script as a user runs it, and the folder that it leaves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.split import stratified_indices
from helper.checkpoint import read_checkpoint, write_checkpoint
from models import model_dict
from tests.commands.running import run

SMALL = ["--dataset", "digits", "--train_size", "160", "--batch_size", "16", "--precision", "fp32"]
TAGS = {"train_acc", "train_loss", "test_acc", "test_acc_top5", "test_loss"}


def read_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """A teacher of digits, as train_teacher.py leaves it."""
    folder = tmp_path_factory.mktemp("teacher")
    said = run("train_teacher.py", "--model", "resnet8", *SMALL, "--epochs", 2, folder=folder)
    path = folder / "save/models/resnet8_digits/ckpt_epoch_2.pth"
    assert str(path.relative_to(folder)) in said
    content = read_checkpoint(path)
    assert content["arch"] == "resnet8" and content["num_classes"] == 10 and content["epoch"] == 2
    return path


def test_modreduce_leaves_the_folder_that_the_readme_names(teacher, tmp_path):
    said = run(
        *(
            "train_modreduce.py",
            "--path_t",
            teacher,
            "--model_s",
            "resnet8",
            "--distill",
            "kd",
            "crd",
            "semckd",
        ),
        *(*SMALL, "--epochs", 2, "--val_split", 0.2, "--seed", 5, "--trial", "a", "--nce_k", 40),
        folder=tmp_path,
    )
    folder = tmp_path / "save/train_modreduce/S_resnet8_T_resnet8_digits_kd_crd_semckd_wavg_trial_a"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "args.json",
        "metrics.csv",
        "results.json",
        "summary.txt",
        "log.txt",
        "last.pth",
        "plots",
    }
    assert names >= {f"{s}_{which}.pth" for s in ("kd", "crd", "semckd") for which in ("best", "last")}
    assert not [name for name in names if name.endswith(".tmp")]

    results = json.loads((folder / "results.json").read_text())
    assert results["script"] == "train_modreduce" and results["seed"] == 5 and results["epochs"] == 2
    assert [(s["name"], s["model"], s["distill"]) for s in results["students"]] == [
        (m, "resnet8", m) for m in ("kd", "crd", "semckd")
    ]
    assert results["teacher"]["model"] == "resnet8" and results["images_per_second"] > 0
    assert results["ensemble"]["online"] == "wavg" and sum(results["ensemble"]["weights"]) == pytest.approx(1)

    rows = read_rows(folder)
    assert [(r["epoch"], r["student"]) for r in rows] == [
        (e, s) for e in "12" for s in ("kd", "crd", "semckd", "ensemble")
    ]
    for student in results["students"]:
        own = [r for r in rows if r["student"] == student["name"]]
        best = max(own, key=lambda r: float(r["val_acc"]))
        assert float(own[-1]["test_acc"]) == student["test_acc_last"]
        assert float(best["test_acc"]) == student["test_acc_best"]
        assert student["parameters"] == sum(
            p.numel() for p in model_dict["resnet8"](num_classes=10).parameters()
        )
        assert f"{student['test_acc_last']:.2f} %" in said

    settings = json.loads((folder / "args.json").read_text())
    assert settings["settings"]["options"]["nce_k"] == 40 and settings["changed"]["nce_k"] == 40
    assert settings["owners"]["nce_k"] == ["crd"] and settings["settings"]["resolved"]["precision"] == "fp32"
    assert {"python", "torch", "modreduce"} <= settings["versions"].keys()
    plots = {path.name for path in (folder / "plots").glob("*.png")}
    assert {"accuracy.png", "loss.png", "ensemble_weights.png", "final_accuracy.png"} <= plots

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard" / "crd"))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= TAGS
    assert [e.step for e in events.Scalars("test_acc")] == [1, 2]

    networks = [folder / f"{s}_last.pth" for s in ("kd", "crd", "semckd")]
    said = run(
        *("evaluate.py", "--dataset", "digits", "--precision", "fp32", "--path", *networks),
        *("--ensemble", folder / "ensemble_last.pth", "--json", "scores.json"),
        folder=tmp_path,
    )
    scores = list(json.loads((tmp_path / "scores.json").read_text())["scores"].values())
    expected = [*results["students"], results["ensemble"]]
    for score, entry in zip(scores, expected, strict=True):
        assert score["test_acc"] == pytest.approx(entry["test_acc_last"])
    assert said.count("%") == 8


def test_a_student_of_a_student(teacher, tmp_path):
    for method in ("fitnet", "rkd"):
        run(
            *("train_student.py", "--path_t", teacher, "--model_s", "resnet8", "--distill", method),
            *(*SMALL, "--epochs", 1, "--save_folder", "out"),
            folder=tmp_path,
        )
    first = tmp_path / "out/train_student/S_resnet8_T_resnet8_digits_fitnet_trial_1"
    results = json.loads((first / "results.json").read_text())
    assert results["ensemble"] is None and results["students"][0]["distill"] == "fitnet"
    said = run(
        *(
            "train_student.py",
            "--path_t",
            first / "fitnet_best.pth",
            "--model_s",
            "wrn_16_1",
            "--distill",
            "kd",
        ),
        *(*SMALL, "--epochs", 1, "--save_folder", "out"),
        folder=tmp_path,
    )
    assert "wrn_16_1" in said


def test_the_seed_changes_everything_and_the_trial_nothing(teacher, tmp_path):
    """Same seed, another trial: the same bits. Another seed: other weights."""
    weights = {}
    for seed, trial in ((1, "a"), (1, "b"), (2, "c")):
        run(
            *("train_student.py", "--path_t", teacher, "--model_s", "resnet8", "--distill", "crd", *SMALL),
            *("--epochs", 1, "--seed", seed, "--trial", trial),
            folder=tmp_path,
        )
        folder = tmp_path / f"save/train_student/S_resnet8_T_resnet8_digits_crd_trial_{trial}"
        weights[trial] = read_checkpoint(folder / "crd_last.pth")["model"]
    assert all(torch.equal(value, weights["b"][key]) for key, value in weights["a"].items())
    assert not torch.equal(weights["a"]["conv1.weight"], weights["c"]["conv1.weight"])


def test_experiment_nine_on_a_slice_of_cifar100(cifar100_folder, tmp_path):
    """One short run of experiment 9's pair on real CIFAR-100 images; its teacher has seen them once."""
    with np.load(cifar100_folder / "cifar100.npz") as arrays:
        kept = {"train": stratified_indices(arrays["train_labels"], 200, 0), "test": range(300)}
        parts = {
            f"{split}_{what}": arrays[f"{split}_{what}"][rows]
            for split, rows in kept.items()
            for what in ("images", "labels")
        }
    np.savez(tmp_path / "slice.npz", **parts)
    torch.manual_seed(0)
    teacher = model_dict["resnet32x4"]()
    with (
        torch.no_grad()
    ):  # batch statistics as those of a trained teacher: without them its features run away
        for norm in [module for module in teacher.modules() if isinstance(module, torch.nn.BatchNorm2d)]:
            norm.reset_running_stats()
            norm.momentum = None
        teacher(torch.from_numpy(parts["train_images"][:64]).permute(0, 3, 1, 2) / 128 - 1)
    content = {"model": teacher.state_dict(), "arch": "resnet32x4", "num_classes": 100}
    write_checkpoint(content, tmp_path / "teacher.pth")
    said = run(
        *("train_modreduce.py", "--path_t", "teacher.pth", "--model_s", "resnet8x4", "--dataset", "npz"),
        *("--data_folder", "slice.npz", "--epochs", 1, "--batch_size", 16),
        folder=tmp_path,
    )
    assert "semckd" in said and "ensemble" in said
