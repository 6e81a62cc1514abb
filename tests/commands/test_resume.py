"""Killed, stopped, crowded out, out of disk: a resumed run ends as if nothing had happened, bit for bit."""

import errno
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from helper.checkpoint import read_checkpoint
from tests.commands import running
from tests.commands.running import EPOCHS, STEPS, outcome, run_folder

SMALL_CRD = "--nce_k 8 --feat_dim 16"
PAIR = "train_modreduce --model_s resnet8 --distill"
RUNS = {
    "wavg": f"{PAIR} fitnet crd --online wavg {SMALL_CRD}",
    "one": f"{PAIR} rkd semckd --online one",
    "fc": f"{PAIR} kd crd --online fc --crd_mode relax {SMALL_CRD}",
    "pcl": f"{PAIR} semckd crd --online pcl {SMALL_CRD}",
    "none": f"{PAIR} kd rkd --online none --val_split 0.25",
    "late": f"{PAIR} hint semckd --online wavg --online_start 1 --lr_decay_epochs 1,2",
    "student": "train_student --model_s resnet8 --distill crd --nce_k 8",
    "teacher": "train_teacher --model resnet8 --clip_grad 5",
}


class Whole(NamedTuple):
    """A run that nobody disturbed: what it left, how long it took, how often it wrote to the disk."""

    left: dict
    seconds: float
    writes: int


@pytest.fixture(scope="module")
def whole(runner):
    """Undisturbed runs by name, made when first asked for."""
    made: dict[str, Whole] = {}

    def get(name: str) -> Whole:
        if name not in made:
            note, start = f"writes_{name}", time.monotonic()
            command = (RUNS[name], "--save_folder", f"whole_{name}")
            ended = runner(*command, hook=running.count_writes, hook_arguments=(note,))
            assert (ended.status, ended.err) == (0, "")
            writes = int((runner.folder / note).read_text())
            left = outcome(runner.folder / f"whole_{name}")
            made[name] = Whole(left, time.monotonic() - start, writes)
        return made[name]

    return get


def same(root: Path, whole: Whole) -> None:
    """Assert that a run left what the undisturbed one left; differences are named, not printed."""
    found = outcome(root)
    assert found["files"] == whole.left["files"]
    assert found["metrics.csv"] == whole.left["metrics.csv"]
    assert [name for name in whole.left if found[name] != whole.left[name]] == []


def check_rows(root: Path) -> None:
    """Assert that metrics.csv, if it is there, has whole rows only, and none twice."""
    for path in root.glob("train_*/*/metrics.csv"):
        rows = [line.split(",") for line in path.read_text().splitlines()]
        assert {len(row) for row in rows} == {len(rows[0])}
        keys = [(int(row[0]), row[1]) for row in rows[1:]]
        assert len(set(keys)) == len(keys) and [k[0] for k in keys] == sorted(k[0] for k in keys)


@pytest.mark.parametrize("name", RUNS)
def test_killed_again_and_again_it_ends_the_same(name, runner, whole, root):
    """Half of the kills come at a random time, half at a random moment of writing; then it is left alone."""
    expected = whole(name)
    chance = random.Random(f"kills of {name}")
    command = (RUNS[name], "--save_folder", root.name, "--resume")
    killed = 0
    for attempt in range(6):
        if attempt % 2:
            process = runner.start(*command)
            time.sleep(chance.uniform(0.05, 0.3) * expected.seconds)
            process.kill()
            ended = runner.ended(process)
        else:
            deadly = (chance.randint(1, expected.writes // 3), attempt)
            ended = runner(*command, hook=running.die_at, hook_arguments=deadly)
        assert ended.status in (0, -signal.SIGKILL), ended.err
        killed += ended.status != 0
        check_rows(root)
    ended = runner(*command)
    assert (ended.status, ended.err) == (0, "")
    assert killed >= 2
    same(root, expected)


def test_killed_between_states_it_still_ends_the_same(runner, root):
    """By default the state is written once a minute: a run as short as this goes on from its beginning."""
    usual = (RUNS["wavg"], "--save_every", "60", "--resume", "--save_folder")
    whole = root.with_name(f"{root.name}_whole")
    note = "writes_of_usual"
    hook = {"hook": running.count_writes, "hook_arguments": (note,)}
    assert runner(*usual, whole.name, **hook).status == 0
    writes, chance = int((runner.folder / note).read_text()), random.Random(7)
    for call in sorted(chance.sample(range(1, writes), 4)):
        hook = {"hook": running.die_at, "hook_arguments": (call, call)}
        assert runner(*usual, root.name, **hook).status in (0, -signal.SIGKILL)
        check_rows(root)
    ended = runner(*usual, root.name)
    assert (ended.status, ended.err) == (0, "")
    found, expected = outcome(root), outcome(whole)
    for left in (found, expected):  # whether there is a state before the last one depends on the kills
        left.pop("previous.pth", None)
        left["files"] = [name for name in left["files"] if name != "previous.pth"]
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.parametrize(
    ("name", "number", "step"),
    [("wavg", signal.SIGTERM, 2), ("one", signal.SIGINT, STEPS + 1), ("fc", signal.SIGTERM, STEPS)],
)
def test_a_signal_finishes_the_step_and_saves(name, number, step, runner, whole, root):
    """In the middle of an epoch, at its first step, and at its last, after which it is evaluated as usual."""
    command = (RUNS[name], "--save_folder", root.name, "--resume")
    ended = runner(*command, hook=running.signalled_at, hook_arguments=(step, int(number)))
    assert ended.status == 128 + number
    epoch, steps = divmod(step, STEPS)
    said = f"stopped by {number.name} after epoch {epoch} and {steps} steps; saved in "
    assert ended.err.startswith(said) and "--resume goes on" in ended.err and ended.err.count("\n") == 1
    progress = read_checkpoint(run_folder(root) / "last.pth")["progress"]
    assert (progress["epoch"], progress["step"]) == (epoch, steps)
    ended = runner(*command)
    assert (ended.status, ended.err) == (0, "")
    assert f"going on after epoch {epoch} and {steps} steps" in ended.out
    same(root, whole(name))


def test_a_signal_between_two_epochs_saves_what_was_not_due(runner, whole, root):
    """Its state is a minute younger than the next one would be, and yet the run says that it is saved."""
    command = (RUNS["teacher"], "--save_folder", str(root), "--save_every", "1000")
    after = (1, signal.SIGTERM)
    stopped = runner(*command, hook=running.signalled_after_epoch, hook_arguments=after)
    assert stopped.status == 128 + signal.SIGTERM
    state = read_checkpoint(run_folder(root) / "last.pth")
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 0)
    assert runner(*command, "--resume").status == 0
    left = outcome(root)
    expected = whole("teacher").left
    for name in expected.keys() - {"previous.pth", "files"}:
        assert left[name] == expected[name], name


def test_a_finished_run_says_so_and_brings_the_teacher_where_it_belongs(runner, whole):
    """Also when it was killed between its results and the copy of the teacher."""
    expected = whole("teacher")
    root = runner.folder / "whole_teacher"
    copy = root / "models" / "resnet8_npz" / f"ckpt_epoch_{EPOCHS}.pth"
    copy.unlink()
    ended = runner(RUNS["teacher"], "--save_folder", root.name, "--resume")
    assert (ended.status, ended.err) == (0, "")
    assert "is finished already, with these settings: nothing to do" in ended.out
    assert copy.read_bytes() == expected.left["teacher_last.pth"]
    same(root, expected)


def test_other_settings_are_refused_and_named(runner, root):
    command = (RUNS["student"], "--save_folder", root.name)
    runner(*command, hook=running.signalled_at, hook_arguments=(STEPS + 2, int(signal.SIGTERM)))
    before = (run_folder(root) / "last.pth").read_bytes()
    ended = runner(*command, "--resume", "--learning_rate", "0.1", "--seed", "7")
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert "other settings: learning_rate (None then, 0.1 now), seed (1 then, 7 now);" in ended.err
    shutil.copy(runner.folder / "digits.npz", runner.folder / "changed.npz")
    running.change_labels(runner.folder / "changed.npz")
    ended = runner(*command, "--resume", "--data_folder", "changed.npz")
    assert ended.status == 2 and "data_sha256" in ended.err
    ended = runner(*command)
    assert ended.status == 2 and "holds an unfinished run: add --resume to go on" in ended.err
    assert (run_folder(root) / "last.pth").read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_goes_on(damage, runner, whole, root):
    command = (RUNS["student"], "--save_folder", root.name, "--resume")
    runner(*command, hook=running.signalled_at, hook_arguments=(2 * STEPS + 2, int(signal.SIGTERM)))
    last = run_folder(root) / "last.pth"
    content = bytearray(last.read_bytes())
    if damage == "cut":
        del content[len(content) * 2 // 3 :]
    else:
        content[len(content) // 3] ^= 16
    last.write_bytes(content)
    ended = runner(*command)
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert f"{last.relative_to(runner.folder)} is damaged" in ended.err
    assert "remove last.pth and run the same command again" in ended.err
    last.unlink()
    ended = runner(*command)
    assert (ended.status, ended.err) == (0, "")
    assert "going on after epoch 2" in ended.out
    same(root, whole("student"))


def test_a_second_run_is_refused_and_a_dead_one_is_not_in_the_way(runner, whole, root):
    command = (RUNS["student"], "--save_folder", root.name, "--resume")
    mark = runner.folder / "waiting"
    first = runner.start(*command, hook=running.waiting_at, hook_arguments=(2, mark.name))
    deadline = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = runner(*command)
    assert second.status == 2 and second.err.count("\n") == 1
    assert "is in use by another process: wait for it, or name another run with --trial" in second.err
    first.kill()
    assert runner.ended(first).status == -signal.SIGKILL
    assert runner(*command).status == 0
    same(root, whole("student"))


def test_a_loss_that_is_not_finite_stops_the_run(runner, whole, root):
    """It names the student and the term, and leaves the last good state, from which the run can go on."""
    name = "wavg"
    command = (RUNS[name], "--save_folder", root.name, "--resume")
    ended = runner(*command, hook=running.poisoned_at, hook_arguments=("crd", STEPS + 2))
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert "student crd diverged in epoch 2: its loss term 'method' is nan; " in ended.err
    assert "last.pth holds an earlier state; try --clip_grad 5" in ended.err
    state = read_checkpoint(run_folder(root) / "last.pth")
    assert state["progress"]["epoch"] == 1
    assert all(v.isfinite().all() for v in state["task"].values() if isinstance(v, torch.Tensor))
    assert runner(*command).status == 0
    same(root, whole(name))


def test_a_learning_rate_that_is_too_large_is_told_as_divergence(runner, root):
    ended = runner(RUNS["teacher"], "--save_folder", root.name, "--learning_rate", "1e30", "--clip_grad", "0")
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert "student teacher diverged in epoch 1: " in ended.err and "no state was written yet" in ended.err
    assert not list(root.glob("**/*.pth"))


@pytest.mark.parametrize("writes", [3, 6, 10])
def test_a_disk_that_fills_up_is_one_line(writes, runner, whole, root):
    """Every write from some moment on fails; with room again the run goes on from the older state."""
    command = (RUNS["student"], "--save_folder", root.name, "--resume")
    ended = runner(*command, hook=running.full_after, hook_arguments=(writes,))
    assert ended.status == 2 and ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: cannot write ") and os.strerror(errno.ENOSPC) in ended.err
    assert not list(root.glob("train_*/*/.*.tmp"))
    ended = runner(*command)
    assert (ended.status, ended.err) == (0, "")
    same(root, whole("student"))


def test_a_real_disk_that_fills_up_is_one_line(runner, whole, root):
    """The same on a file system of its own that is too small, where this user may mount one."""
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1300k", "tmpfs", str(root)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        command = (RUNS["student"], "--save_folder", root.name, "--resume")
        ended = runner(*command)
        assert ended.status == 2 and ended.err.count("\n") == 1, ended.err
        assert ended.err.startswith("error: cannot write ") and os.strerror(errno.ENOSPC) in ended.err
        assert read_checkpoint(run_folder(root) / "last.pth")["progress"]["epoch"] >= 1
        subprocess.run(["mount", "-o", "remount,size=30m", str(root)], check=True)
        ended = runner(*command)
        assert (ended.status, ended.err) == (0, "")
        same(root, whole("student"))
    finally:
        subprocess.run(["umount", str(root)], check=True)
