"""How the commands start and where: at once, from any place, in any locale, without what is optional."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import running

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [path.stem for path in sorted(ROOT.glob("*.py"))]
COMMANDS += ["scripts.fetch_teachers", "scripts.reproduce"]
HEAVY = ("torch", "numpy", "pandas", "matplotlib", "torchvision")
# runs a command's main with these modules not installed, and says which of the heavy ones it imported
START = """
import importlib, sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
command = sys.argv[0] = sys.argv.pop(1)
from helper.errors import run_script
try:
    run_script(importlib.import_module(command).main)
finally:
    print("imported:", *[name for name in {heavy} if sys.modules.get(name)], file=sys.stderr)
"""
TRAINING = "--dataset npz --data_folder digits.npz --batch_size 16 --epochs 1 --precision fp32 --device cpu"
STUDENT = f"--path_t teacher.pth --model_s resnet8 --distill kd {TRAINING}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and a teacher."""
    folder = tmp_path_factory.mktemp("start")
    running.make_materials(folder)
    return folder


def started(
    command: str, *words: str, folder: Path, without: str = "-", **more: object
) -> subprocess.CompletedProcess:
    """A command in a process of its own, with modules missing."""
    call = [sys.executable, "-c", START.format(heavy=HEAVY), without, command, *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more.pop("env", {})
    settings = {"capture_output": True, "timeout": 300, "cwd": folder, "env": environment}
    return subprocess.run(call, **{**settings, **more})


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", ["--help", "--no_such_flag 1"])
def test_help_and_a_wrong_flag_come_at_once(command, words, tmp_path):
    """In less than a second of work, because nothing heavy is imported for them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = started(command, *words.split(), folder=tmp_path, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == (0 if words == "--help" else 2)
    said = done.stdout if words == "--help" else done.stderr
    assert ("usage: " in said) if words == "--help" else said.startswith("error: ")
    assert done.stderr.splitlines()[-1].split() == ["imported:"]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert not list(tmp_path.iterdir())


def test_a_missing_teacher_is_told_before_the_data_are_read(place):
    done = started(
        *("train_student", *STUDENT.replace("teacher.pth", "nowhere.pth").split()),
        *("--data_folder", "nowhere.npz"),
        folder=place,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no checkpoint at nowhere.pth: ")


@pytest.mark.parametrize("package", ["matplotlib", "tensorboard"])
def test_a_missing_package_is_told_before_the_first_step(package, place, tmp_path):
    words = [*STUDENT.split(), "--save_folder", str(tmp_path / "save")]
    done = started("train_student", *words, folder=place, without=package, text=True)
    assert done.returncode == 2
    line = done.stderr.splitlines()[0]
    assert line.startswith(f"error: the package {package}, which plots and events need, cannot be imported")
    assert line.endswith(": pip install -r pyt.txt") and done.stderr.count("\n") == 2
    assert done.stdout == "" and not list(tmp_path.iterdir())


def test_a_missing_compiler_is_told_before_the_first_step(place, tmp_path):
    words = [*STUDENT.split(), "--save_folder", str(tmp_path / "save"), "--compile"]
    done = started("train_student", *words, folder=place, env={"CXX": "no-such-compiler"}, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --compile needs a compiler, and there is no no-such-compiler: ")
    assert done.stderr.count("\n") == 2 and done.stdout == "" and not list(tmp_path.iterdir())


def test_every_command_starts_without_fcntl(tmp_path):
    for command in COMMANDS:
        done = started(command, "--help", folder=tmp_path, without="fcntl", text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_a_path_with_a_latin_letter_and_a_locale_that_knows_none(place, tmp_path):
    """The folder's name is no UTF-8, standard output is ASCII, and nobody reads it to its end."""
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    words = [*STUDENT.split(), "--save_folder", str(folder)]
    done = started("train_student", *words, folder=place, env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert rb"caf\udce9" in done.stdout and b"which TensorBoard wants: no events" in done.stdout
    (run,) = folder.glob("train_student/*")
    assert (run / "results.json").exists() and "finished: results" in (run / "log.txt").read_text()


def test_a_run_whose_listener_goes_is_finished(place, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    words = [*STUDENT.split(), "--save_folder", str(tmp_path / "save")]
    done = started(
        *("train_student", *words),
        folder=place,
        capture_output=False,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert b"Traceback" not in done.stderr, done.stderr
    (run,) = (tmp_path / "save").glob("train_student/*")
    assert (run / "results.json").exists()
    assert "epoch 1/1" in (run / "log.txt").read_text()


def test_ctrl_c_while_it_still_starts_is_one_line(place, tmp_path):
    """In the seconds in which torch is imported."""
    (tmp_path / "torch").mkdir()
    text = f"import os, signal, time\nos.kill(os.getpid(), {int(signal.SIGINT)})\ntime.sleep(60)\n"
    (tmp_path / "torch" / "__init__.py").write_text(text)
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = started("train_student", *STUDENT.split(), folder=place, env=env, text=True)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.splitlines()[0].startswith("interrupted; what was saved before is whole")
    assert done.stderr.count("\n") == 2 and done.stdout == ""
