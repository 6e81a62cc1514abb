"""What users bring to the training scripts: names, stops, file systems, other projects' flags."""

import csv
import errno
import json
import signal
from pathlib import Path

import pytest

from helper.checkpoint import read_checkpoint
from tests.commands import running
from tests.commands.running import STEPS, outcome, run_folder

STUDENT = "train_student --model_s resnet8 --distill kd --epochs 1"
THREE = "train_modreduce --distill kd rkd kd --online none --epochs 1"


def test_the_same_command_with_another_learning_rate_does_not_show_the_old_table(runner, root):
    flags = ("--save_folder", root.name, "--resume")
    assert runner(STUDENT, *flags).status == 0
    ended = runner(STUDENT, *flags, "--learning_rate", "0.01")
    assert ended.status == 2 and ended.out == ""
    assert "learning_rate (None then, 0.01 now)" in ended.err


def test_a_teacher_tried_for_an_epoch_does_not_become_the_teacher_of_many(runner, root):
    """`--epochs 1`, then `--epochs 3`: three epochs are trained, and the file says so."""
    command, flags = "train_teacher --model resnet8", ("--save_folder", root.name, "--resume")
    assert runner(command, *flags, "--epochs", "1").status == 0
    ended = runner(command, *flags, "--epochs", "3")
    assert ended.status == 0 and "epoch 3/3" in ended.out
    path = root / "models" / "resnet8_npz" / "ckpt_epoch_3.pth"
    content = read_checkpoint(path)
    assert (content["epoch"], content["epochs"]) == (3, 3)
    ended = runner(command, *flags, "--epochs", "6")
    assert ended.status == 2 and "cannot go on to 6" in ended.err
    assert not path.with_name("ckpt_epoch_6.pth").exists()


def test_students_of_other_networks_have_a_folder_of_their_own(runner, root):
    folders = []
    for models in ("resnet8 resnet14 resnet14", "resnet8 resnet8 resnet14"):
        assert runner(THREE, "--model_s", *models.split(), "--save_folder", root.name).status == 0
        folders.append({path.name for path in root.glob("train_modreduce/*")})
    first, second = folders[0], folders[1] - folders[0]
    assert [name.partition("_T_")[0] for name in (*first, *second)] == [
        "S_resnet8_resnet14_resnet14",
        "S_resnet8_resnet8_resnet14",
    ]


@pytest.mark.parametrize(
    ("flags", "named"), [("--data_folder changed.npz", "data_sha256"), ("--seed 2", "seed")]
)
def test_what_a_name_cannot_hold_is_compared(flags, named, runner, root):
    (runner.folder / "changed.npz").write_bytes((runner.folder / "digits.npz").read_bytes())
    running.change_labels(runner.folder / "changed.npz")
    assert runner(STUDENT, "--save_folder", root.name).status == 0
    ended = runner(f"{STUDENT} {flags}", "--save_folder", root.name, "--resume")
    assert ended.status == 2 and f"other settings: {named} (" in ended.err


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_warned_of(number, runner, root):
    ended = runner(STUDENT, "--save_folder", root.name, hook=running.without_flock, hook_arguments=(number,))
    assert ended.status == 0 and "finished: results, plots" in ended.out
    assert ended.err.startswith("warning: ") and ended.err.count("\n") == 1
    assert "cannot be locked" in ended.err and "no other process writes there" in ended.err


def test_a_system_without_fcntl_is_warned_of(runner, root):
    ended = runner(
        STUDENT, "--save_folder", root.name, hook=running.without_module, hook_arguments=("fcntl",)
    )
    assert ended.status == 0 and "finished: results, plots" in ended.out
    assert "cannot be locked (this system knows no locks)" in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_a_scheduler_s_warning_and_a_closed_terminal_save_the_run(number, runner, root):
    command = (STUDENT, "--save_folder", root.name, "--resume")
    ended = runner(*command, hook=running.signalled_at, hook_arguments=(2, int(number)))
    assert ended.status == 128 + number and ended.err.count("\n") == 1
    assert ended.err.startswith(f"stopped by {number.name} after epoch 0 and 2 steps; saved in ")
    assert runner(*command).status == 0
    whole = runner(STUDENT, "--save_folder", f"{root.name}_whole")
    assert whole.status == 0
    expected = outcome(root.with_name(f"{root.name}_whole"))
    assert [key for key, value in outcome(root).items() if key in expected and expected[key] != value] == [
        "files"
    ]


def test_a_closed_terminal_does_not_stop_what_nohup_started(runner, root):
    ended = runner(STUDENT, "--save_folder", root.name, hook=running.under_nohup, hook_arguments=(2,))
    assert ended.status == 0 and "finished: results, plots" in ended.out


def test_the_training_accuracy_is_of_images_not_of_batches(runner, root):
    """64 images in batches of 48 and 16: a mean of the batches' means is hardly ever a number of images."""
    assert runner(STUDENT, "--save_folder", root.name, "--batch_size", "48").status == 0
    with open(run_folder(root) / "metrics.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    correct = float(row["train_acc"]) * 64 / 100
    assert correct == pytest.approx(round(correct), abs=1e-4)


def test_numbers_in_metrics_are_as_short_as_they_can_be(runner, root):
    command = "train_student --model_s resnet8 --distill kd --lr_decay_epochs 1,2"
    assert runner(command, "--save_folder", root.name).status == 0
    text = (run_folder(root) / "metrics.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["learning_rate"] for row in rows] == ["0.05", "0.005", "0.0005"]
    cells = [cell for row in rows for name, cell in row.items() if name not in ("epoch", "student")]
    digits = [cell.lower().partition("e")[0].replace(".", "").lstrip("0") for cell in cells if cell]
    assert max(map(len, digits)) <= 7


def test_what_other_projects_ask_is_answered(runner, root):
    """RepDistiller's --gpu_id says the device where nothing else does; what means nothing here is said."""
    words = "--gpu_id 0 --num_workers 8 --print_freq 100"
    ended = runner(f"{STUDENT} {words}", "--save_folder", root.name)
    assert ended.status == 0 and "CPU" in ended.out  # --device cpu stands beside it
    assert ended.err.splitlines() == [
        "--num_workers is not needed: batches are made on the device (pictures from files have --workers)",
        "--print_freq is not needed: there is a line per epoch, and a bar within it",
    ]
    args = json.loads((run_folder(root) / "args.json").read_text())
    assert args["settings"]["compute"]["device"] == "cpu"
    assert not {"gpu_id", "num_workers", "print_freq"} & (
        args["settings"]["options"].keys() | args["changed"].keys()
    )
    ended = runner(STUDENT, "--save_folder", root.name, "--resume")
    assert ended.status == 0 and "with these settings: nothing to do" in ended.out


@pytest.mark.parametrize(
    ("words", "device"),
    [
        ("--gpu_id 1", "cuda:1"),
        ("--gpu_id 1 --device cpu", "cpu"),
        ("--device cpu --gpu_id 1", "cpu"),
        ("", "auto"),
    ],
)
def test_gpu_id_is_the_device_unless_there_is_one(words, device):
    import train_teacher

    args = train_teacher.parser().parse_args(["--model", "resnet8", *words.split()])
    assert args.device == device and not hasattr(args, "gpu_id")


def test_every_step_of_an_epoch_is_in_the_first_stop(runner, root):
    """A stop in the first epoch's last step is a stop after the epoch, which is evaluated and saved."""
    command = ("train_student --model_s resnet8 --distill kd", "--save_folder", root.name)
    ended = runner(*command, hook=running.signalled_at, hook_arguments=(STEPS, int(signal.SIGUSR1)))
    assert "after epoch 1 and 0 steps" in ended.err
    assert len(list(csv.DictReader((run_folder(root) / "metrics.csv").read_text().splitlines()))) == 1


def test_the_home_folder_is_meant_by_a_tilde_after_an_equals_sign(runner, root):
    ended = runner(STUDENT, "--save_folder=~/x", hook=running.at_home, hook_arguments=(str(root),))
    assert ended.status == 0 and not Path(runner.folder, "~").exists()
    assert run_folder(root / "x").is_dir()
