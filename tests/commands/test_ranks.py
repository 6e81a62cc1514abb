"""Students spread over ranks leave what one process leaves, bit for bit, and a fault of one rank ends all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helper.checkpoint import read_checkpoint
from tests.commands import running
from tests.commands.ranks import (
    COMMAND,
    STEPS,
    as_rank,
    ended,
    free_port,
    left_by,
    refused,
    run_alone,
    run_well,
)
from tests.commands.running import ROOT, SETTINGS, Runner, run_folder

slow = pytest.mark.slow
RUN = "--distill kd at dkd --online pcl --ema 0.9"
ENSEMBLES = {
    "pcl": RUN,
    "okddip": "--distill kd at dkd --online okddip --epochs 1",
    "fc": "--distill fsp kd mlkd --online fc --init_epochs 1 --epochs 1",
}
FURTHER = {
    "wavg": "--distill kd crd semckd --online wavg --clip_grad 5 --ema 0.9",
    "published": "--distill kd sp rkd --online wavg --wavg_rule published --optimizer dot",
    "one": "--distill kd dkd vid --online one --logit_stand --class_weights balanced",
    "mean": "--distill kd sp cc --online mean --optimizer adamw --train_size 64 --val_split 0.2",
    "dml": "--distill kd at at --online dml --optimizer dot --clip_grad 5",
    "kdcl": "--distill kd ofd reviewkd simkd --online kdcl",
    "none": "--distill kd fsp ab --online none --init_epochs 1 --optimizer dot",
}
CASES = [pytest.param(name, words, 2, id=f"{name}-2") for name, words in ENSEMBLES.items()]
CASES += [pytest.param(name, words, 2, id=f"{name}-2", marks=slow) for name, words in FURTHER.items()]
CASES += [
    pytest.param(name, words, 3, id=f"{name}-3", marks=slow) for name, words in (ENSEMBLES | FURTHER).items()
]


@pytest.fixture(scope="module")
def alone(runner: Runner) -> Path:
    """The save folder of RUN in one process, that nobody disturbed."""
    run_alone(runner, *RUN.split(), "--save_folder", "pcl_1")
    return runner.folder / "pcl_1"


@pytest.mark.parametrize(("name", "words", "world"), CASES)
def test_ranks_leave_what_one_process_leaves(runner, alone, name, words, world):
    one, several = runner.folder / f"{name}_1", runner.folder / f"{name}_{world}"
    if not one.exists():
        run_alone(runner, *words.split(), "--save_folder", one.name)
    run_well(runner, world, *words.split(), "--save_folder", several.name)
    assert left_by(several) == left_by(one)


@pytest.mark.parametrize("signalled", [pytest.param(0, marks=slow), 1])
def test_a_signal_to_one_rank_saves_all_and_one_process_goes_on(runner, alone, signalled):
    """In the middle of an epoch: the state of the ranks is that of one process."""
    root = f"signalled_{signalled}"
    hook = {signalled: (running.signalled_at, (1, signal.SIGTERM))}
    found = ended(runner, 2, *RUN.split(), "--save_folder", root, hooks=hook)
    line = refused(found, 128 + signal.SIGTERM)
    assert line.startswith("stopped by SIGTERM after epoch 0 and ")
    state = read_checkpoint(run_folder(runner.folder / root) / "last.pth")
    assert state["progress"]["step"] == 1 and state["sums"]["sums"].shape[0] == 3
    run_alone(runner, *RUN.split(), "--save_folder", root, "--resume")
    assert left_by(runner.folder / root) == left_by(alone)


def test_what_one_process_began_ranks_go_on_with(runner, alone):
    words = (*RUN.split(), "--save_folder", "begun")
    stopped = runner(COMMAND, *words, hook=running.signalled_at, hook_arguments=(1, signal.SIGINT))
    assert stopped.status == 128 + signal.SIGINT
    run_well(runner, 3, *words, "--resume")
    assert left_by(runner.folder / "begun") == left_by(alone)
    found = ended(runner, 2, *words, "--resume")
    assert [one.status for one in found] == [0, 0] and "finished already" in found[0].out
    assert not found[1].out


def test_a_killed_rank_ends_the_others_and_a_resume_goes_on(runner, alone):
    words = (*RUN.split(), "--save_folder", "killed")
    hook = {1: (running.signalled_at, (STEPS + 1, signal.SIGKILL))}
    first, killed = ended(runner, 2, *words, hooks=hook)
    assert (first.status, killed.status) == (2, -signal.SIGKILL)
    assert first.err.startswith("error: the ranks lost each other") and first.err.count("\n") == 1
    run_well(runner, 2, *words, "--resume")
    assert left_by(runner.folder / "killed") == left_by(alone)


def test_a_loss_that_is_not_finite_on_one_rank_stops_all(runner):
    hook = {1: (running.poisoned_at, ("at", 2))}
    line = refused(ended(runner, 2, *RUN.split(), "--save_folder", "diverged", hooks=hook))
    assert line.startswith("error: student at diverged in epoch 1: its loss term 'method' is nan")


def test_a_full_disk_ends_all_ranks(runner):
    hook = {0: (running.full_after, (6,))}
    line = refused(ended(runner, 2, *RUN.split(), "--save_folder", "full", hooks=hook))
    assert line.startswith("error: cannot write full")


def other_data(runner: Runner) -> None:
    with np.load(runner.folder / "digits.npz") as content:
        np.savez(runner.folder / "other.npz", **content)
    running.change_labels(runner.folder / "other.npz")


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ("--seed 2", "rank 1 was started otherwise than rank 0: seed (2, 1 on rank 0); give all ranks"),
        ("--data_folder other.npz", "rank 1 was started otherwise than rank 0: data_sha256 ("),
        pytest.param(
            "--eval_batch_size 7",
            "rank 1 was started otherwise than rank 0: eval_batch_size (7, ",
            marks=slow,
        ),
        ("--epochs zero", "rank 1: argument --epochs: 'zero' is not a whole number from 1"),
        pytest.param("--data_folder nowhere.npz", "rank 1: ", marks=slow),
        pytest.param("--multiplier 1 2", "rank 1: --multiplier has 2 values for 3 students", marks=slow),
    ],
)
def test_what_one_rank_alone_was_told_is_one_line(runner, own, line):
    other_data(runner)
    before = sorted(runner.folder.rglob("*"))
    found = ended(runner, 2, *RUN.split(), "--save_folder", "unborn", others={1: own.split()})
    assert refused(found).startswith(f"error: {line}")
    assert [path for path in sorted(runner.folder.rglob("*")) if path not in before] == []


@pytest.mark.parametrize(
    ("world", "words", "line"),
    [
        (
            4,
            "--distill kd at dkd",
            "4 ranks for 3 students, each of which is trained by one rank: allowed are 1 to 3",
        ),
        (2, "--epochs 0", "argument --epochs: 0 is not a whole number from 1"),
        (2, "--layout data", "argument --layout: invalid choice: 'data' (choose from"),
        (2, "--cuda_graph", "--cuda_graph is for one process: leave it out, or start without torchrun"),
        (2, "--model_s drops.py:net", "drops.py:net draws random numbers in training, as dropout"),
    ],
)
def test_what_all_ranks_were_told_wrongly_is_told_once(runner, world, words, line):
    (runner.folder / "drops.py").write_text(
        "from torch import nn\n"
        "def net(num_classes):\n"
        "    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, num_classes)]\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *head)\n"
    )
    found = ended(runner, world, "--distill", "kd", "kd", "--save_folder", "unborn", *words.split())
    assert refused(found).startswith(f"error: {line}")
    assert not (runner.folder / "unborn").exists()


@pytest.mark.parametrize(
    "command", ["train_student --model_s resnet8 --distill kd", "train_teacher --model resnet8"]
)
def test_other_commands_run_in_one_process(runner, command):
    found = ended(runner, 2, command=command)
    assert refused(found).startswith(f"error: {command.split()[0]}.py runs in one process: start it without")


@slow
def test_torchrun_restarts_a_killed_rank_and_ends_the_same(runner, alone):
    """The real torchrun: its ranks find each other anew and go on from the last state."""
    (runner.folder / "deadly.py").write_text(
        f"import os, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import train_modreduce\n"
        "from helper.errors import run_script\n"
        "from tests.commands import running\n"
        "running.undrawn()\n"
        "if os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':\n"
        f"    running.signalled_at({STEPS + 1}, {int(signal.SIGKILL)})\n"
        "run_script(train_modreduce.main, several_ranks=True)\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [
        *COMMAND.split()[1:],
        "--path_t",
        "teacher.pth",
        *RUN.split(),
        "--save_folder",
        "restarted",
        "--resume",
    ]
    settings = [word for word in SETTINGS.split() if word not in ("--epochs", "3")]
    done = subprocess.run(
        [*torchrun, "--max-restarts", "1", "deadly.py", *words, *settings],
        cwd=runner.folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 1 and 0 steps" in done.stdout
    assert left_by(runner.folder / "restarted") == left_by(alone)


def half_of_torchrun() -> None:
    """Hook: what a scheduler may leave in the environment of a process that it starts once."""
    del os.environ["RANK"], os.environ["MASTER_ADDR"]


def test_ranks_by_halves_are_refused(runner):
    hook = (half_of_torchrun, ())
    found = runner(COMMAND, *RUN.split(), hook=as_rank, hook_arguments=(0, 2, free_port(), hook))
    line = refused([found])
    assert line.startswith("error: WORLD_SIZE is 2, and RANK, MASTER_ADDR not set: start with torchrun")
