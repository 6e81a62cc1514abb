"""Networks of torchvision and of a user's file in whole commands: as teacher and as student, evaluated."""

import json
import signal
from pathlib import Path

import pytest
import torch
import torchvision

from helper.checkpoint import read_checkpoint, write_checkpoint
from tests.commands import running
from tests.commands.running import outcome, run_folder

STUDENT = "torchvision:shufflenet_v2_x0_5"
TAPS = ["conv1@nchw", "stage2@nchw", "stage3@nchw", "conv5@nchw"]
USER_FILE = """
from torch import nn

def small(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )
"""
MINE = "net.py:small"
SMALL = "--epochs 1 --nce_k 8 --feat_dim 16 --clip_grad 5"
DATA = "--dataset npz --data_folder digits.npz --device cpu"


@pytest.fixture(scope="module", autouse=True)
def user_file(runner) -> None:
    (runner.folder / "net.py").write_text(USER_FILE)


def whole(ended) -> str:
    assert (ended.status, ended.err) == (0, "")
    return ended.out


@pytest.mark.parametrize("method", ["kd", "crd", "semckd"])
def test_a_student_of_torchvision_learns_from_a_teacher_of_the_zoo(method, runner, root):
    ended = runner(
        f"train_student --model_s {STUDENT} --distill {method} {SMALL}", "--save_folder", str(root)
    )
    said = whole(ended)
    folder = run_folder(root)
    assert folder.name == f"S_torchvision-shufflenet_v2_x0_5_T_resnet8_npz_{method}_trial_1"
    assert (
        f"note: {method} is {STUDENT}: its maps are of conv1, stage2, stage3, conv5 (found by a dry" in said
    )
    content = read_checkpoint(folder / f"{method}_last.pth")
    assert (content["arch"], content["taps"], content.get("small_stem")) == (STUDENT, TAPS, None)
    theirs = torchvision.models.get_model(STUDENT.partition(":")[2], weights=None, num_classes=10)
    theirs.load_state_dict(content["model"])
    assert json.loads((folder / "args.json").read_text())["settings"]["taps"] == {method: TAPS}


def test_a_user_s_network_is_taught_teaches_and_is_evaluated(runner, root):
    """A file's name in a checkpoint runs nothing: the network has to be named again."""
    flags = ("--save_folder", str(root))
    said = whole(runner(f"train_teacher --model {MINE} --epochs 1", *flags))
    teacher = root / "models" / "net.py-small_npz" / "ckpt_epoch_1.pth"
    assert str(teacher) in said and read_checkpoint(teacher)["arch"] == MINE
    command = f"train_modreduce --model_s {MINE} resnet8 {MINE} --distill fitnet crd at --online pcl {SMALL}"
    own = ("--taps_s", "0,3", "none", "none", "--path_t", str(teacher))
    ended = runner(command, *own, *flags)
    assert ended.status == 2 and "is not run because a file names it: if it is yours, name it" in ended.err
    assert not list(root.glob("train_modreduce/*"))
    said = whole(runner(command, *own, "--model_t", MINE, *flags))
    assert f"note: fitnet is {MINE}: its maps are of 0, 3 (as asked for)" in said
    assert f"note: at is {MINE}: its maps are of 2, 5 (found by a dry run)" in said
    assert f"note: the teacher is {MINE}: its maps are of 2, 5 (as its file has them)" in said
    (folder,) = root.glob("train_modreduce/*")
    files = [str(folder / f"{name}_last.pth") for name in ("fitnet", "at")]
    out = running.run("evaluate.py", "--path", *files, "--model", MINE, *DATA.split(), folder=runner.folder)
    results = json.loads((folder / "results.json").read_text())["students"]
    assert f"{results[0]['test_acc_last']:.2f} %" in out and f"{results[2]['test_acc_last']:.2f} %" in out
    out = running.run("evaluate.py", "--path", *files, *DATA.split(), folder=runner.folder, status=2)
    assert "is not run because a file names it" in out


def test_a_student_becomes_a_teacher_with_the_maps_that_it_was_given(runner, root):
    flags = ("--save_folder", str(root))
    command = f"train_student --model_s {STUDENT} --taps_s stage2,stage4 --small_stem --distill kd {SMALL}"
    whole(runner(command, *flags))
    student = run_folder(root) / "kd_last.pth"
    content = read_checkpoint(student)
    assert content["taps"] == ["stage2@nchw", "stage4@nchw"] and content["small_stem"] is True
    assert content["changed"]["small_stem"] is True
    out = running.run("evaluate.py", "--path", student, *DATA.split(), folder=runner.folder)
    assert f"{content['accuracy']:.2f} %" in out
    again = f"train_student --model_s resnet8 --distill at {SMALL}"
    said = whole(runner(again, "--path_t", str(student), "--save_folder", f"{root}_2"))
    assert "its maps are of stage2, stage4 (as its file has them)" in said
    said = whole(runner(again, "--path_t", str(student), "--taps_t", "stage3", "--save_folder", f"{root}_3"))
    assert "its maps are of stage3 (as asked for)" in said


def test_a_stopped_run_goes_on_bit_for_bit_and_refuses_other_maps(runner, root):
    command = f"train_modreduce --model_s {MINE} resnet8 --distill semckd kd --online pcl --clip_grad 5"
    whole(runner(command, "--save_folder", f"{root}_whole"))
    stop = {"hook": running.signalled_at, "hook_arguments": (6, signal.SIGTERM)}
    assert runner(command, "--save_folder", str(root), **stop).status == 128 + signal.SIGTERM
    other = runner(command, "--save_folder", str(root), "--resume", "--taps_s", "0,3", "none")
    assert other.status == 2 and "was begun with other settings: taps_s (None then, " in other.err
    whole(runner(command, "--save_folder", str(root), "--resume"))
    expected, found = outcome(Path(f"{root}_whole")), outcome(root)
    assert [part for part in expected if expected[part] != found.get(part)] == []


@pytest.mark.parametrize("method", ["ab", "ofd", "reviewkd", "simkd", "norm", "fsp"])
def test_what_a_method_needs_and_a_network_lacks_is_said_before_anything_is_written(method, runner, root):
    torch.manual_seed(1)
    network = torchvision.models.get_model(STUDENT.partition(":")[2], weights=None, num_classes=10)
    write_checkpoint({"model": network.state_dict(), "arch": STUDENT}, runner.folder / "shuffle.pth")
    command = f"train_student --model_s resnet8 --distill {method} --epochs 1"
    ended = runner(command, "--path_t", "shuffle.pth", "--save_folder", str(root))
    assert (ended.status, ended.err.count("\n"), ended.out) == (2, 1, "") and STUDENT in ended.err, ended
    assert not root.exists()


def test_first_weights_are_taken_but_for_the_classifier(runner, root):
    torch.manual_seed(4)
    network = torchvision.models.get_model(STUDENT.partition(":")[2], weights=None, num_classes=1000)
    torch.save(network.state_dict(), runner.folder / "first.pth")
    flags = ("--save_folder", str(root), "--learning_rate", "1e-9")
    said = whole(runner(f"train_teacher --model {STUDENT} --init first.pth --epochs 1", *flags))
    line = "begins with the weights of first.pth but for fc.weight and fc.bias, which are for other classes"
    assert f"note: teacher {line}" in said
    content = read_checkpoint(run_folder(root) / "teacher_last.pth")
    assert content["changed"]["init"] == "first.pth"
    assert torch.allclose(content["model"]["conv5.0.weight"], network.conv5[0].weight, atol=1e-6)
    command = f"train_modreduce --model_s {STUDENT} {MINE} --init_s first.pth none --distill at kd {SMALL}"
    said = whole(runner(command, *flags))
    assert f"note: at {line}" in said and "note: kd begins" not in said


def test_a_method_larger_than_the_teacher_is_warned_of(runner, root):
    command = f"train_student --model_s {MINE} --distill semckd {SMALL}"
    said = whole(runner(command, "--save_folder", str(root)))
    (warning,) = [line for line in said.splitlines() if "parameters beside" in line]
    assert warning.startswith("warning: semckd trains ") and "(--semckd_width makes them fewer)" in warning
    assert warning in (run_folder(root) / "log.txt").read_text()
    said = whole(runner(command, "--semckd_width", "4", "--trial", "narrow", "--save_folder", str(root)))
    assert "parameters beside" not in said


@pytest.mark.parametrize("network", [STUDENT, "timm:test_vit"])
def test_a_network_of_other_code_trains_in_bf16(network, runner, root):
    if network.startswith("timm:"):
        pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    command = f"train_modreduce --model_s {network} resnet8 --distill semckd kd --online wavg {SMALL}"
    said = whole(runner(command, "--precision", "bf16", "--save_folder", str(root)))
    assert ", bf16, evaluated in fp32" in said
    content = read_checkpoint(run_folder(root) / "semckd_last.pth")["model"]
    assert {value.dtype for value in content.values() if value.is_floating_point()} == {torch.float32}
    assert all(value.isfinite().all() for value in content.values())
