"""Methods of every kind are peers of one group: two stages, two views, networks and terms of their own."""

import csv
import json
import signal
from pathlib import Path

import pytest

from helper.checkpoint import read_checkpoint
from tests.commands import running
from tests.commands.running import STEPS, Runner, outcome, run_folder

METHODS = "kd crd semckd dkd simkd ofd mlkd fsp"
COMMAND = (
    f"train_modreduce --model_s resnet8 --distill {METHODS} --online wavg --epochs 2 --init_epochs 2 "
    "--nce_k 8 --feat_dim 16 --clip_grad 5 --logit_stand"
)
IN_THE_FIRST_STAGE, IN_THE_SECOND = 2, 2 * STEPS + 2  # a later one would stand in previous.pth


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("peers")
    running.make_materials(folder)
    return Runner(folder)


@pytest.fixture(scope="module")
def whole(runner: Runner) -> Path:
    """The save folder of a run that nobody disturbed."""
    ended = runner(COMMAND, "--save_folder", "whole")
    assert (ended.status, ended.err) == (0, "")
    return runner.folder / "whole"


def test_all_of_them_learn_in_one_group(whole: Path) -> None:
    results = json.loads((run_folder(whole) / "results.json").read_text())
    labels = [student["label"] for student in results["students"]]
    assert labels == ["KD", "CRD", "SemCKD", "DKD", "SimKD", "OFD", "MLKD", "FSP"]
    with open(run_folder(whole) / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["student"] != "ensemble"]
    assert len(rows) == 2 * len(labels)  # the first stage is not evaluated


@pytest.mark.parametrize("step", [IN_THE_FIRST_STAGE, IN_THE_SECOND])
def test_stopped_in_either_stage_it_ends_the_same(runner: Runner, whole: Path, step: int) -> None:
    root = f"stopped_{step}"
    stopped = runner(
        COMMAND, "--save_folder", root, hook=running.signalled_at, hook_arguments=(step, signal.SIGTERM)
    )
    assert stopped.status == 128 + signal.SIGTERM
    assert ("of the first stage" in stopped.err) == (step == IN_THE_FIRST_STAGE)
    ended = runner(COMMAND, "--save_folder", root, "--resume")
    assert (ended.status, ended.err) == (0, "")
    assert outcome(runner.folder / root) == outcome(whole)


def test_simkd_is_deployed_with_the_teacher_s_classifier(runner: Runner, whole: Path) -> None:
    """It is evaluated, saved, and used as a teacher like any other network."""
    folder = run_folder(whole)
    saved = read_checkpoint(folder / "simkd_last.pth")
    assert saved["arch"] == "reused/resnet8/resnet8"
    teacher = read_checkpoint(runner.folder / "teacher.pth")["model"]
    assert (saved["model"]["classifier.weight"] == teacher["fc.weight"]).all()
    path = folder / "simkd_last.pth"
    ended = runner(
        "train_student --model_s resnet8 --distill kd --epochs 1 --save_folder taught", "--path_t", str(path)
    )
    assert (ended.status, ended.err) == (0, "")
    taught = json.loads((run_folder(runner.folder / "taught") / "results.json").read_text())
    own = json.loads((folder / "results.json").read_text())["students"][4]
    assert taught["teacher"]["test_acc"] == own["test_acc_last"]
