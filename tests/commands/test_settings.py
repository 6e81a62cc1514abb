"""With which settings a run may go on, and with which it may not: finished ones, longer ones, former ones."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from helper.checkpoint import read_checkpoint
from tests.commands import running
from tests.commands.former import make_former
from tests.commands.running import STEPS, outcome, run_folder

STUDENT = "train_student --model_s resnet8 --distill kd --epochs 1"
PAIR = "train_modreduce --model_s resnet8 --distill kd crd rkd --nce_k 8 --feat_dim 16"


@pytest.fixture(scope="module")
def finished(runner) -> str:
    """The save folder of a finished run of STUDENT."""
    assert runner(STUDENT, "--save_folder", "finished").status == 0
    shutil.copy(runner.folder / "digits.npz", runner.folder / "changed.npz")
    running.change_labels(runner.folder / "changed.npz")
    assert runner("train_teacher --model resnet8 --epochs 1 --seed 3", "--save_folder", "other").status == 0
    return "finished"


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """All files below, with their size and time of change."""
    stats = {str(path): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--learning_rate 0.1", "learning_rate (None then, 0.1 now);"),
        ("-a 0.5", "alpha (None then, 0.5 now);"),
        ("--batch_size 8", "batch_size (16 then, 8 now);"),
        ("--train_size 40", "data_sha256 ("),
        ("--train_size 40", "train_size (None then, 40 now);"),
        ("--data_folder changed.npz", "data_sha256 ("),
        ("--path_t other/models/resnet8_npz/ckpt_epoch_1.pth", "teacher_sha256 ("),
        ("--seed 2", "seed (1 then, 2 now);"),
        ("--kd_T 2", "kd_T (None then, 2.0 now);"),
        ("--eval_precision bf16", "eval_precision (fp32 then, bf16 now);"),
    ],
)
def test_a_finished_run_with_other_settings_is_refused_and_they_are_named(flags, named, runner, finished):
    before = everything(run_folder(runner.folder / finished))
    ended = runner(f"{STUDENT} {flags}", "--save_folder", finished, "--resume")
    assert ended.status == 2 and ended.err.count("\n") == 1 and ended.out == ""
    assert "was begun with other settings: " in ended.err and named in ended.err
    assert everything(run_folder(runner.folder / finished)) == before


@pytest.mark.parametrize("flags", ["", "--save_every 9 --deterministic", "--data_folder ./digits.npz"])
def test_a_finished_run_with_the_same_settings_says_so(flags, runner, finished):
    before = everything(run_folder(runner.folder / finished))
    ended = runner(f"{STUDENT} {flags}", "--save_folder", finished, "--resume")
    assert (ended.status, ended.err) == (0, "")
    assert "is finished already, with these settings: nothing to do" in ended.out and "kd  " in ended.out
    assert everything(run_folder(runner.folder / finished)) == before


LONGER = {
    "one epoch": ("train_teacher --model resnet8", 1, 3),
    "fixed decay": ("train_teacher --model resnet8 --lr_decay_epochs 1,3", 2, 3),
    "offline": (f"{PAIR} --online none --lr_decay_epochs 2", 2, 3),
    "online from an epoch on": (f"{PAIR} --online wavg --online_start 1 --lr_decay_epochs 2", 2, 3),
    "one synchronous epoch": (f"{PAIR} --online wavg --lr_decay_epochs 2", 1, 3),
    "fixed ramp": (f"{PAIR} --online pcl --pcl_ramp_up 2 --lr_decay_epochs 2", 2, 3),
}


@pytest.mark.parametrize("name", LONGER)
def test_more_epochs_of_a_finished_run_go_on_where_the_schedule_is_the_same(name, runner, root):
    """They end as a run of all of them does."""
    command, few, many = LONGER[name]
    for folder, *epochs in ((root.name, few, many), (f"{root.name}_whole", many)):
        for number in epochs:
            ended = runner(f"{command} --epochs {number}", "--save_folder", folder, "--resume")
            assert ended.status == 0, ended.err
    left, whole = (outcome(folder) for folder in (root, root.with_name(f"{root.name}_whole")))
    left.pop("previous.pth"), whole.pop("previous.pth")
    for content in (left, whole):  # the best network may have been written with the shorter run's settings
        for key in [key for key in content if key.endswith("_best.pth")]:
            content.pop(key)
    assert left["metrics.csv"] == whole["metrics.csv"]
    assert [key for key in whole if left[key] != whole[key]] == []


def test_a_teacher_of_more_epochs_gets_a_file_of_its_own(runner, root):
    for epochs in (1, 2):
        command = f"train_teacher --model resnet8 --epochs {epochs}"
        assert runner(command, "--save_folder", root.name, "--resume").status == 0
    files = [read_checkpoint(root / f"models/resnet8_npz/ckpt_epoch_{n}.pth") for n in (1, 2)]
    assert [content["epoch"] for content in files] == [content["epochs"] for content in files] == [1, 2]
    assert files[0]["settings_sha256"] != files[1]["settings_sha256"]


@pytest.mark.parametrize(
    ("command", "few", "many", "what"),
    [
        ("train_teacher --model resnet8", 3, 6, "the learning rate"),
        (f"{PAIR} --online wavg --lr_decay_epochs 9", 2, 3, "the weight of what is learned online"),
        (f"{PAIR} --online pcl --lr_decay_epochs 9", 3, 6, "the weight of what is learned online"),
    ],
)
def test_more_epochs_are_refused_where_the_schedule_is_another(command, few, many, what, runner, root):
    flags = ("--save_folder", root.name, "--resume")
    assert runner(f"{command} --epochs {few}", *flags).status == 0
    before = everything(run_folder(root))
    ended = runner(f"{command} --epochs {many}", *flags)
    assert ended.status == 2 and ended.err.count("\n") == 1 and ended.out == ""
    assert f"was trained for {few} epochs and cannot go on to {many}: with that length {what}" in ended.err
    assert f"repeat its command with --epochs {few}, or name another run with --trial" in ended.err
    ended = runner(f"{command} --epochs 1", *flags)
    assert ended.status == 2 and f"has {few} epochs already, --epochs asks for 1: " in ended.err
    assert everything(run_folder(root)) == before


@pytest.mark.parametrize("step", [STEPS, STEPS + 2], ids=["between epochs", "within one"])
def test_a_run_of_version_0_1_goes_on(step, runner, root):
    """Its flags side by side, its sums a tensor, a random stream or None per student: it ends the same."""
    whole = runner.folder / "whole_former"
    if not whole.exists():
        assert runner(PAIR, "--save_folder", whole.name).status == 0
    flags = (PAIR, "--save_folder", root.name)
    ended = runner(*flags, hook=running.signalled_at, hook_arguments=(step, int(signal.SIGTERM)))
    assert ended.status == 128 + signal.SIGTERM
    make_former(run_folder(root))
    ended = runner(*flags, "-r", "1", "-a", "1", "--resume")  # which were the defaults
    assert (ended.status, ended.err) == (0, ""), ended.err
    assert f"going on after epoch 1 and {step % STEPS} steps" in ended.out
    left, expected = outcome(root), outcome(whole)
    left.pop("previous.pth"), expected.pop("previous.pth")
    for where, content in ((root, left), (whole, expected)):
        for path in run_folder(where).glob("*_*.pth"):  # they name the flags: -r and -a differ
            network = read_checkpoint(path)
            content[path.name] = running.digest(
                {key: value for key, value in network.items() if key not in ("settings_sha256", "changed")}
            )
    assert left["metrics.csv"] == expected["metrics.csv"]
    assert [key for key in expected if left[key] != expected[key]] == []


def test_a_finished_run_of_version_0_1_says_so_or_what_differs(runner, root):
    """With its state, and without it, from its args.json."""
    assert runner(PAIR, "--epochs", "1", "--save_folder", root.name).status == 0
    folder = run_folder(root)
    make_former(folder)
    for state in (True, False):
        if not state:
            (folder / "last.pth").unlink()
            (folder / "previous.pth").unlink(missing_ok=True)
        ended = runner(PAIR, "--epochs", "1", "--save_folder", root.name, "--resume")
        assert (ended.status, ended.err) == (0, "")
        assert "is finished already, with these settings" in ended.out
        ended = runner(PAIR, "--epochs", "1", "--save_folder", root.name, "--resume", "-a", "2")
        assert ended.status == 2 and "other settings: alpha (None then, 2.0 now);" in ended.err
    assert json.loads((folder / "results.json").read_text())["students"][0].keys() >= {
        "name",
        "test_acc_last",
    }
