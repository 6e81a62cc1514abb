"""Every script as a user runs it, and the folder that it leaves."""

import csv
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.split import stratified_indices
from distiller_zoo import distiller_dict
from helper.checkpoint import read_checkpoint, write_checkpoint
from models import model_dict

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--dataset", "digits", "--train_size", "160", "--batch_size", "16", "--precision", "fp32"]
TAGS = {"train_acc", "train_loss", "test_acc", "test_acc_top5", "test_loss"}
# teacher, student, in the order of the experiments
PAIRS = """wrn_40_2 wrn_16_2, wrn_40_2 wrn_40_1, resnet56 resnet20, resnet110 resnet20, resnet110 resnet32,
vgg13 MobileNetV2, resnet32x4 ShuffleV1, wrn_40_2 ShuffleV1, resnet32x4 resnet8x4, vgg13 vgg8,
resnet32x4 ShuffleV2, resnet32x4 vgg8, resnet32x4 vgg13, vgg13 ShuffleV2, wrn_40_2 MobileNetV2"""


def run(*words: object, folder: Path, status: int = 0) -> str:
    """What a script prints when it is run in a folder of its own."""
    call = [sys.executable, str(ROOT / str(words[0])), *map(str, words[1:])]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


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
    assert (
        settings["settings"]["nce_k"] == 40
        and {"python", "torch", "modreduce"} <= settings["versions"].keys()
    )
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


@pytest.mark.parametrize("number, pair", list(enumerate(PAIRS.replace("\n", " ").split(","), start=1)))
def test_every_experiment_has_its_script(number, pair):
    import train_modreduce
    from modreduce.build import plan_students

    teacher, student = pair.split()
    path = ROOT / f"scripts/experiments/{number:02d}_{teacher}_{student}.sh"
    words = said_by(path, ["--seed", "3"], ONLINE="one")
    assert words[0] == "train_modreduce.py"
    args = train_modreduce.parser().parse_args(words[1:])
    assert str(args.path_t) == f"save/models/{teacher}_vanilla/ckpt_epoch_240.pth"
    assert (args.model_s, args.online, args.epochs, args.seed) == ([student], "one", 240, 3)
    assert {teacher, student} <= model_dict.keys() and len(plan_students(args)) == 3


def said_by(script: Path, extra: list[str], **environment: str) -> list[str]:
    """The words that a script would give to Python, one per line."""
    command = re.search(r'^exec "\$python" (.*)\Z', script.read_text(), re.MULTILINE | re.DOTALL)[1]
    call = ["sh", "-c", f"printf '%s\\n' {command}", "sh", *extra]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, **environment}, check=True)
    return done.stdout.splitlines()


def test_the_lines_of_the_cifar_scripts_are_valid():
    """Each line of run_cifar_*.sh parses, and its weights are the ones of the table of methods."""
    import train_student
    import train_teacher

    for name, script in (("vanilla", train_teacher), ("distill", train_student)):
        text = (ROOT / f"scripts/run_cifar_{name}.sh").read_text().replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.startswith('"$python"')]
        assert len(lines) >= 5
        for line in lines:
            words = shlex.split(line.replace('"$@"', ""))[2:]
            args = script.parser().parse_args(words)
            if name == "vanilla":
                assert args.model in model_dict
            elif args.distill != "kd":
                assert args.beta == distiller_dict[args.distill].weight


@pytest.mark.parametrize("script", sorted(ROOT.glob("scripts/**/*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_valid(script):
    subprocess.run(["sh", "-n", str(script)], check=True)


STUB = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in *pcl*) echo "error: made up" >&2; exit 2 ;; esac
while [ "$1" != --save_folder ]; do shift; done
mkdir -p "$2/run" && echo '{}' >"$2/run/results.json" && echo epoch >"$2/run/metrics.csv"
echo '{"path_t": "/secret/place/t.pth", "command": "x --path_t /secret/place/t.pth"}' >"$2/run/args.json"
"""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["alone", "-", "2"], "alone_seed_2"),
        (["none", "rkd,fitnet", "3"], "none_rkd_fitnet_seed_3"),
        (["wavg", "kd,crd,semckd", "1", "late", "--online_start", "5"], "late_wavg_kd_crd_semckd_seed_1"),
        (["pcl", "kd,crd", "1"], None),
    ],
)
def test_a_run_of_the_cpu_evidence(words, name, tmp_path):
    """The script takes its flags, no folder of the machine is kept, and a second call runs nothing."""
    stub, calls, out = tmp_path / "python", tmp_path / "calls", tmp_path / "out"
    stub.write_text(STUB)
    stub.chmod(0o755)
    out.mkdir()
    (tmp_path / "save" / "logs").mkdir(parents=True)
    places = {"python": stub, "CALLS": calls, "out": out, "save": tmp_path / "save", "TEACHER": "t.pth"}
    environment = os.environ | {key: str(value) for key, value in places.items()} | {"data": "data"}
    call = ["sh", ROOT / "scripts/cpu_evidence_run.sh", *words]
    said = [subprocess.run(call, env=environment, capture_output=True, text=True, check=True) for _ in "12"]
    tried = [line.split() for line in calls.read_text().splitlines()]
    script = importlib.import_module("train_teacher" if words[0] == "alone" else "train_modreduce")
    args = script.parser().parse_args(tried[0][1:])
    assert str(args.seed) == words[2] and args.train_size == 10000
    if name is None:
        assert len(tried) == 2 and "FAILED pcl_kd_crd_seed_1: error: made up" in said[0].stdout
        assert not list(out.iterdir())
    else:
        assert len(tried) == 1
        assert sorted(path.name for path in out.iterdir()) == [
            f"{name}.args.json",
            f"{name}.json",
            f"{name}.metrics.csv",
        ]
        kept = (out / f"{name}.args.json").read_text()
        assert kept == '{"path_t": "t.pth", "command": "x --path_t t.pth"}\n'


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
