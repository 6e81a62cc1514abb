"""Whatever is wrong with a command ends in one line that says so, exit status 2, and nothing written.

The table is the documentation: each case is a command as a user types it (its usual rest is in USUAL) and the beginning
of the line that it prints after 'error: '.
"""

import fcntl
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helper.errors import run_script
from tests import bad_materials

ROOT = Path(__file__).resolve().parent.parent
DATA = "--dataset npz --data_folder good.npz --device cpu"
TRAINING = f"{DATA} --batch_size 8 --epochs 2"
USUAL = {
    "train_teacher": f"--model resnet8 {TRAINING}",
    "train_student": f"--path_t teacher.pth --model_s resnet8 --distill kd {TRAINING}",
    "train_modreduce": f"--path_t teacher.pth --model_s resnet8 --distill kd rkd {TRAINING}",
    "evaluate": f"--path teacher.pth {DATA}",
    "helper.fetch": "",
}
MISSING = "(nothing)"  # instead of the usual rest of the command, nothing
CASES: list[tuple[str, str]] = [
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where all cases run: nothing in it may change."""
    place = tmp_path_factory.mktemp("bad")
    before = Path.cwd()
    os.chdir(place)
    try:
        bad_materials.make_checkpoints()
        bad_materials.make_data_sets()
        bad_materials.make_run_folders()
    finally:
        os.chdir(before)
    return place


def words(command: str) -> list[str]:
    """The script and its arguments: the case's own come last, so that they win."""
    script, *own = command.split(" ")
    if own[:1] == [MISSING]:
        return [script, *own[1:]]
    return [script, *USUAL[script].split(), *own]


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder below, with its size and when it was changed."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            state = path.lstat()
            found[str(path)] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


def line_of(command: str, monkeypatch, capfd) -> str:
    """The line that a command prints, run in this process; it must be the only one, with exit status 2."""
    script, *arguments = words(command)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_script(importlib.import_module(script).main)
    printed = capfd.readouterr()
    assert end.value.code == 2
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1, printed.err
    assert printed.out == ""
    return printed.err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(("command", "line"), CASES, ids=[command for command, _ in CASES])
def test_bad_input_is_one_line_and_nothing_is_written(command, line, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    assert line_of(command, monkeypatch, capfd).startswith(line)
    assert snapshot(folder) == before
