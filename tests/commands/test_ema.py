"""Whole runs with --ema: what they leave beside the plain weights, and how they go on."""

import csv
import json
import signal

import pytest
import torch

from helper.checkpoint import read_checkpoint
from models.checkpoint import read_network
from tests.commands import running
from tests.commands.running import STEPS, outcome, run_folder

PLAIN = "train_modreduce --model_s resnet8 --distill kd at --online pcl"
RUN = f"{PLAIN} --ema 0.9"


@pytest.fixture(scope="module")
def whole(runner):
    """The folder of an undisturbed run."""
    ended = runner(RUN, "--save_folder", "whole")
    assert (ended.status, ended.err) == (0, "")
    assert "% (loss" in ended.out and ", averaged " in ended.out
    return runner.folder / "whole"


def rows_of(root) -> list[dict[str, str]]:
    with open(run_folder(root) / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_averages_stand_beside_the_plain_weights(runner, whole):
    folder = run_folder(whole)
    results = json.loads((folder / "results.json").read_text())
    last = {row["student"]: row for row in rows_of(whole)}
    assert last["ensemble"]["test_acc_ema"] == last["ensemble"]["test_loss_ema"] == ""
    for student in results["students"]:
        name = student["name"]
        plain, averaged = (read_network(folder / f"{name}_{kind}.pth") for kind in ("last", "ema_last"))
        assert (plain.record.ema, averaged.record.ema) == (None, 0.9)
        assert averaged.record.accuracy == pytest.approx(student["test_acc_ema_last"])
        assert float(last[name]["test_acc_ema"]) == student["test_acc_ema_last"]
        assert averaged.record.student == name and averaged.arch == "resnet8"
        assert any(not torch.equal(plain.weights[key], averaged.weights[key]) for key in plain.weights)
    words = ["--path", folder / "kd_ema_last.pth", folder / "at_ema_last.pth", "--json", "scores.json"]
    running.run(
        "evaluate.py", *words, "--dataset", "npz", "--data_folder", "digits.npz", "--device", "cpu",
        folder=runner.folder,
    )  # fmt: skip
    found = json.loads((runner.folder / "scores.json").read_text())["scores"]
    for scores, name in zip(found.values(), ("kd", "at"), strict=False):
        assert scores["test_acc"] == float(last[name]["test_acc_ema"])
        assert scores["test_loss"] == float(last[name]["test_loss_ema"])


def test_the_plain_weights_are_those_of_a_run_without(runner, whole, root):
    """Whose metrics.csv has no further columns, and whose state has no averages."""
    assert runner(PLAIN, "--save_folder", root.name).status == 0
    for name in ("kd_last.pth", "at_last.pth"):
        ours, theirs = (read_checkpoint(run_folder(place) / name) for place in (root, whole))
        assert all(torch.equal(ours["model"][key], theirs["model"][key]) for key in ours["model"])
        assert "ema" not in ours and "ema" not in theirs
    plain, averaged = rows_of(root), rows_of(whole)
    assert averaged[0].keys() - plain[0].keys() == {"test_loss_ema", "test_acc_ema"}
    state = read_checkpoint(run_folder(root) / "last.pth")["task"]
    assert not any(key.startswith("averages") for key in state)
    ended = runner(RUN, "--save_folder", root.name, "--resume")
    assert ended.status == 2 and "other settings: ema (0.0 then, 0.9 now);" in ended.err


@pytest.mark.parametrize("kind", ["stopped", "killed"])
def test_it_goes_on_to_the_same_bits(kind, runner, whole, root):
    """Stopped in the middle of an epoch, or killed while it writes."""
    flags = (RUN, "--save_folder", root.name, "--resume")
    if kind == "stopped":
        stop = (STEPS + 2, int(signal.SIGTERM))
        ended = runner(*flags, hook=running.signalled_at, hook_arguments=stop)
        assert "after epoch 1 and 2 steps" in ended.err
        state = read_checkpoint(run_folder(root) / "last.pth")["task"]
        assert state["averages.steps"] == STEPS + 2
    else:
        ended = runner(*flags, hook=running.die_at, hook_arguments=(40, 1))
        assert ended.status == -signal.SIGKILL
    ended = runner(*flags)
    assert (ended.status, ended.err) == (0, "")
    left, expected = outcome(root), outcome(whole)
    assert left["metrics.csv"] == expected["metrics.csv"]
    assert [name for name in expected if left[name] != expected[name]] == []
