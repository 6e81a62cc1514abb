"""Whatever is wrong with a command ends in one line that says so, exit status 2, and nothing written.

The cases stand in bad_input/, a table per script, and what their files hold in bad_materials.py.
"""

import contextlib
import errno
import fcntl
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataset import dataset_dict
from distiller_zoo import distiller_dict
from exporting import formats_dict
from helper.device import PRECISIONS
from helper.errors import run_script
from models import model_dict
from modreduce import ensemble_dict
from scripts.fetch_teachers import TEACHERS
from tests.commands import bad_materials
from tests.commands.bad_cases import CASES, RUN, USUAL
from tests.pictures import write_bad_folders

ROOT = Path(__file__).resolve().parents[2]


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
        bad_materials.make_configs()
        write_bad_folders()
        bad_materials.make_pictures()
    finally:
        os.chdir(before)
    return place


def words(command: str) -> list[str]:
    """The script and its arguments: the case's own come last, so that they win."""
    script, *own = command.split(" ")
    own = [word.replace("LONG", 300 * "x") for word in own]
    if own[:1] == ["NOTHING"]:
        return [script, *own[1:]]
    return [script, *USUAL.get(script, "").split(), *own]


def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every file and folder below; of the files also size, time of change and place on the disk."""
    found = {}
    for place, folders, files in os.walk(folder):
        found |= {os.path.join(place, name): () for name in folders}
        for name in files:
            state = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


def printed_by(command: str, monkeypatch, capfd) -> str:
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


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("command", "line"), CASES, ids=[command for command, _ in CASES])
def test_bad_input_is_one_line_and_nothing_is_written(command, line, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    with contextlib.ExitStack() as stack:
        if "locked" in command:
            lock = stack.enter_context(open(f"{RUN}_locked/.lock", "a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = snapshot(folder)
        printed = printed_by(command, monkeypatch, capfd)
    assert printed.startswith(line.replace("{here}", str(folder)).replace("{run}", RUN))
    assert snapshot(folder) == before


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("train_teacher --model resnet9", list(model_dict)),
        ("train_teacher --dataset mnist", list(dataset_dict)),
        ("train_teacher --precision fp16", list(PRECISIONS)),
        ("train_student --distill crdd", list(distiller_dict)),
        ("train_student --model_t resnet9", list(model_dict)),
        ("train_modreduce --online avg", list(ensemble_dict)),
        ("train_modreduce --distill kd abc", list(distiller_dict)),
        ("export --formats tflite", list(formats_dict)),
        ("scripts.fetch_teachers resnet57", list(TEACHERS)),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(command, names, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    listed = re.findall(r"[\w]+", printed_by(command, monkeypatch, capfd))
    assert [name for name in names if name not in listed] == []


def test_the_commands_themselves_say_it_the_same_way(folder):
    """The same from a shell: started as a user starts them, all at once."""
    chosen = [
        "train_teacher --model resnet9",
        "train_student --path_t new_code.pth",
        "train_modreduce --distill kd abc",
        "evaluate --path nowhere.pth",
        "export --out occupied",
        "predict --path nowhere.onnx",
    ]
    before = snapshot(folder)
    processes = []
    for command in chosen:
        script, *arguments = words(command)
        call = [sys.executable, str(ROOT / f"{script}.py"), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(call, cwd=folder, text=True, **pipes))
    for command, process in zip(chosen, processes, strict=True):
        out, error = process.communicate(timeout=120)
        assert (process.returncode, out) == (2, "")
        assert error.startswith(f"error: {dict(CASES)[command]}") and error.count("\n") == 1, error
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied"),
        (MemoryError(), "the memory is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate\n2 GiB"), "the memory is full (CUDA out of"),
    ],
)
def test_faults_of_the_machine_are_one_line_too(error, line, capfd):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        run_script(main)
    printed = capfd.readouterr().err
    assert end.value.code == 2
    assert printed.startswith(f"error: {line}") and printed.count("\n") == 1


def test_a_mistake_of_our_own_is_not_hidden():
    def main():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run_script(main)
