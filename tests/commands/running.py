"""Runs of the scripts in processes that can be killed, forked from a server that has imported all they need.

Small enough to be run dozens of times: 64 real digits for training, 40 for testing, 3 epochs of 4 steps.
"""

import csv
import errno
import functools
import json
import multiprocessing
import os
import random
import runpy
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dataset import load_dataset
from dataset.split import stratified_indices
from helper.checkpoint import digest, read_checkpoint, write_checkpoint
from helper.errors import run_script
from models import model_dict

ROOT = Path(__file__).resolve().parents[2]
STEPS, EPOCHS = 4, 3
SETTINGS = (
    "--dataset npz --data_folder digits.npz --batch_size 16 --epochs 3 --precision fp32 --device cpu "
    "--save_every 0"
)
TIMES = {"seconds", "training_seconds", "images_per_second"}
PRELOAD = [
    "tests.commands.running",
    "train_teacher",
    "train_student",
    "train_modreduce",
    "evaluate",
    "export",
    "predict",
    "modreduce.launch",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
]


class Ended(NamedTuple):
    """How a run ended: its exit status (minus the signal if it was killed), and what it printed."""

    status: int
    out: str
    err: str


@functools.cache
def forkserver() -> Any:
    """Where processes come from that have imported all that a command needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def run(command: str, *words: object, folder: Path, status: int = 0) -> str:
    """What a script of the root ("train_teacher.py") or a module prints when it is run in a folder."""
    with tempfile.NamedTemporaryFile(mode="r") as said:
        arguments = (command, [str(word) for word in words], folder, said.name)
        process = forkserver().Process(target=_as_main, args=arguments)
        process.start()
        process.join(timeout=300)
        assert process.exitcode == status, said.read()
        return said.read()


def _as_main(command: str, words: list[str], folder: Path, said: str) -> None:
    with open(said, "w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    os.chdir(folder)
    torch.set_num_threads(1)
    sys.argv = [command, *words]
    if command.endswith(".py"):
        runpy.run_path(str(ROOT / command), run_name="__main__")
    else:
        runpy.run_module(command, run_name="__main__")


def make_materials(folder: Path) -> None:
    """A small data set of real digits, and a teacher for it."""
    digits = load_dataset("digits", folder)
    train = stratified_indices(digits.train_labels, 64, seed=1)
    test = stratified_indices(digits.test_labels, 40, seed=1)
    np.savez(
        folder / "digits.npz",
        train_images=digits.train_images[train],
        train_labels=digits.train_labels[train],
        test_images=digits.test_images[test],
        test_labels=digits.test_labels[test],
    )
    torch.manual_seed(1)
    weights = model_dict["resnet8"](num_classes=10).state_dict()
    write_checkpoint({"model": weights, "arch": "resnet8"}, folder / "teacher.pth")


class Runner:
    """Runs commands in a folder with the materials, each in a process of its own.

    A command is a script's name and its own flags; the rest (SETTINGS and the teacher) is added. A hook is a
    function that is called in the process before the script, with the hook's arguments: it may plant a fault.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self, command: str, *flags: str, hook: Callable | None = None, hook_arguments: tuple = ()):
        """The process of a command."""
        script, *own = command.split()
        teacher = [] if script == "train_teacher" else ["--path_t", "teacher.pth"]
        words = [f"{script}.py", *teacher, *SETTINGS.split(), *own, *flags]
        arguments = (self.folder, script, words, hook, hook_arguments)
        process = forkserver().Process(target=_in_child, args=arguments)
        process.start()
        return process

    def ended(self, process) -> Ended:
        """Wait for a process, and say how it ended."""
        process.join(timeout=180)
        assert process.exitcode is not None, "the run hangs"
        out, err = (self.folder / f"{process.pid}.{kind}" for kind in ("out", "err"))
        result = Ended(process.exitcode, out.read_text(), err.read_text())
        out.unlink()
        err.unlink()
        return result

    def __call__(
        self, command: str, *flags: str, hook: Callable | None = None, hook_arguments: tuple = ()
    ) -> Ended:
        """Run a command to its end."""
        return self.ended(self.start(command, *flags, hook=hook, hook_arguments=hook_arguments))


def _in_child(folder: Path, script: str, words: list[str], hook: Callable | None, arguments: tuple) -> None:
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kind, stream in (("out", sys.stdout), ("err", sys.stderr)):
        handle = os.open(f"{os.getpid()}.{kind}", os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, stream.fileno())
    torch.set_num_threads(1)
    sys.argv = words
    undrawn()
    if hook is not None:
        hook(*arguments)
    run_script(sys.modules[script].main)


def undrawn() -> None:
    """Leave plots empty, which take longer than all else that such runs do; `run` draws them."""
    from matplotlib.figure import Figure

    Figure.savefig = lambda *_, **__: None


def count_writes(note: str) -> None:
    """Hook: note in a file how often `die_at` could have killed this run."""
    die_at(0, 0, note)


def die_at(call: int, seed: int, note: str | None = None) -> None:
    """Hook: kill the process in the middle of writing, at the given call of what puts a file on the disk.

    The calls are those of flushing, renaming and linking, before or after they have done their work; a file
    that is being flushed is first cut at a random place, as one is whose writing did not come to its end.
    """
    chance = random.Random(seed)
    count = 0

    def deadly(function: Callable) -> Callable:
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            if note is not None:
                Path(note).write_text(str(count))
            if count == call:
                if function is flush and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                    os.ftruncate(arguments[0], chance.randrange(os.fstat(arguments[0]).st_size))
                elif chance.random() < 0.5:
                    function(*arguments, **keywords)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return wrapper

    flush = os.fsync
    os.fsync, os.replace, os.link = deadly(os.fsync), deadly(os.replace), deadly(os.link)


def at_step(step: int, action: Callable[[], None]) -> None:
    """Hook: do something in the middle of the given step of training, counted from 1 through all epochs."""
    from engine.step import Step

    original, count = Step.__call__, 0

    def stepped(self: Step, batch: Any) -> Any:
        nonlocal count
        count += 1
        if count == step:
            action()
        return original(self, batch)

    Step.__call__ = stepped


def signalled_at(step: int, number: int) -> None:
    """Hook: get a signal in the middle of a step."""
    at_step(step, lambda: os.kill(os.getpid(), number))


def signalled_after_epoch(number: int, signal_number: int) -> None:
    """Hook: get a signal when an epoch's files are on their way and its line is about to be said."""
    from engine.run_folder import RunFolder

    original = RunFolder.log

    def log(self: RunFolder, line: str) -> None:
        if line.startswith(f"epoch {number}/"):
            os.kill(os.getpid(), signal_number)
        original(self, line)

    RunFolder.log = log


def waiting_at(step: int, mark: str) -> None:
    """Hook: leave a mark (a file) in the middle of a step, and wait to be killed."""

    def wait() -> None:
        Path(mark).touch()
        signal.pause()

    at_step(step, wait)


def run_folder(root: Path) -> Path:
    """The one run folder below a save folder."""
    (found,) = root.glob("train_*/*")
    return found


def without_times(content: Any) -> Any:
    """Nested content without the entries that say how long something took."""
    if isinstance(content, dict):
        return {key: without_times(value) for key, value in content.items() if key not in TIMES}
    if isinstance(content, list):
        return [without_times(value) for value in content]
    return content


def outcome(root: Path) -> dict[str, Any]:
    """All that a finished run left, but for times: networks, its state's digest, rows, results, names."""
    folder = run_folder(root)
    left: dict[str, Any] = {"files": sorted(path.name for path in folder.iterdir())}
    for path in (*folder.glob("*_*.pth"), *folder.glob("*_*.csv")):
        left[path.name] = path.read_bytes()
    for name in [name for name in ("last.pth", "previous.pth") if name in left["files"]]:
        state = read_checkpoint(folder / name)
        state.pop("settings")
        left[name] = digest(without_times(state))
    with open(folder / "metrics.csv", newline="") as file:
        left["metrics.csv"] = without_times(list(csv.DictReader(file)))
    left["results.json"] = without_times(json.loads((folder / "results.json").read_text()))
    return left


def poisoned_at(method: str, step: int) -> None:
    """Hook: make the loss of a method NaN at the given step of training."""
    from distiller_zoo import distiller_dict

    kind = distiller_dict[method]
    original, count = kind.forward, 0

    def forward(self: Any, *arguments: Any) -> torch.Tensor:
        nonlocal count
        count += 1
        return original(self, *arguments) * (float("nan") if count == step else 1.0)

    kind.forward = forward


def full_after(writes: int) -> None:
    """Hook: let nothing be flushed to the disk any more after so many files."""
    original, count = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal count
        count += not stat.S_ISDIR(os.fstat(handle).st_mode)
        if count > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    os.fsync = fsync


def change_labels(path: Path) -> None:
    """Exchange two labels of a data set."""
    with np.load(path) as content:
        arrays = dict(content)
    labels = arrays["train_labels"]
    first, second = 0, int(np.flatnonzero(labels != labels[0])[0])
    labels[[first, second]] = labels[[second, first]]
    np.savez(path, **arrays)


def without_flock(number: int) -> None:
    """Hook: a file system that answers every lock with this error."""
    import fcntl

    def refuse(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    fcntl.flock = refuse


def without_module(name: str) -> None:
    """Hook: a system without this module."""
    sys.modules[name] = None


def under_nohup(step: int) -> None:
    """Hook: ignore a closed terminal as nohup does, and have it closed in the middle of a step."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signalled_at(step, int(signal.SIGHUP))


def at_home(folder: str) -> None:
    """Hook: a home folder."""
    os.environ["HOME"] = folder
