"""Runs on folders of pictures: whole commands, stopped in an epoch, and looked at afterwards."""

import json
import signal
from pathlib import Path

import pytest

from helper.checkpoint import read_checkpoint
from tests.commands import running
from tests.commands.running import STEPS, outcome, run_folder
from tests.pictures import write_classes, write_digits

PICTURES = "--dataset imagefolder --data_folder digits --image_size 24x20 --normalise data"
FOLDER = f"{PICTURES} --augment crop_pad --no_flip"
PEERS = f"train_modreduce --model_s resnet8 --distill kd mlkd --online wavg {FOLDER}"


@pytest.fixture(scope="module", autouse=True)
def pictures(runner) -> Path:
    """64 digits to train on and 40 to test on, in files."""
    write_digits(runner.folder / "digits")
    return runner.folder / "digits"


@pytest.fixture(scope="module")
def whole(runner) -> dict:
    """What an undisturbed run leaves that reads its pictures itself."""
    ended = runner(PEERS, "--workers", "0", "--save_folder", "whole")
    assert (ended.status, ended.err) == (0, ""), ended.err
    return outcome(runner.folder / "whole")


@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, 2), (signal.SIGTERM, STEPS + 1)])
def test_stopped_in_an_epoch_and_read_by_others_it_ends_the_same(number, step, runner, whole, root):
    """The signal goes to the workers too, as the terminal's does."""
    command = (PEERS, "--save_folder", root.name, "--resume")
    hook = {"hook": running.signalled_at, "hook_arguments": (step, int(number))}
    ended = runner(*command, "--workers", "2", **hook)
    assert ended.status == 128 + number and ended.err.count("\n") == 1
    epoch, steps = divmod(step, STEPS)
    progress = read_checkpoint(run_folder(root) / "last.pth")["progress"]
    assert (progress["epoch"], progress["step"]) == (epoch, steps)
    ended = runner(*command, "--workers", "1")
    assert (ended.status, ended.err) == (0, ""), ended.err
    found = outcome(root)
    assert [name for name in whole if found[name] != whole[name]] == []


def test_a_run_says_what_its_networks_and_its_data_were(runner, whole):
    folder = run_folder(runner.folder / "whole")
    resolved = json.loads((folder / "args.json").read_text())["settings"]["resolved"]
    assert resolved["data_sha256_of"] == "names, sizes and labels" and resolved["image_size"] == "24x20"
    record = read_checkpoint(folder / "kd_last.pth")
    assert record["class_names"] == [f"digit {k}" for k in range(10)]
    assert (record["image_size"], record["resize"]) == ("24x20", 23)
    names = json.loads((folder / "results.json").read_text())["students"][0]["name"]
    words = f"--path {folder}/{names}_last.pth --dataset imagefolder --data_folder digits --normalise data"
    said = running.run("evaluate.py", *words.split(), "--device", "cpu", folder=runner.folder)
    assert f"{record['accuracy']:.2f} %" in said  # the size and the cut are those of the network's file


def test_unlabelled_pictures_are_taught_by_the_teacher_alone(runner, root):
    write_classes(runner.folder / "pile", ["a", "b"], each=8)
    command = f"train_student --model_s resnet8 --distill kd {FOLDER} --unlabelled pile"
    ended = runner(command, "--save_folder", root.name, "--workers", "0")
    assert (ended.status, ended.err) == (0, ""), ended.err
    assert "80 images" in ended.out
    content = json.loads((run_folder(root) / "args.json").read_text())
    assert content["changed"]["unlabelled"] == "pile"


def test_another_folder_is_another_run(runner, whole, pictures):
    (pictures / "train/digit 3/new.png").write_bytes((pictures / "val/digit 3/3.png").read_bytes())
    ended = runner(PEERS, "--save_folder", "whole", "--resume", "--workers", "0")
    (pictures / "train/digit 3/new.png").unlink()
    assert ended.status == 2 and "was begun with other settings: data_sha256" in ended.err
