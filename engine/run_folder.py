"""A run's folder: who may write to it, what stands in it, and what of it can be trusted."""

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from helper.arguments import Parser, file_name, non_negative_int
from helper.checkpoint import read_checkpoint, write_checkpoint
from helper.device import add_device_arguments, device_name
from helper.errors import UserError, one_line
from helper.files import check_folder, keep_as, remove_leftovers, write_atomically
from helper.provenance import git_commit, versions
from helper.results import METRICS

# settings that say where and how fast a run computes, not what: they may differ when it is resumed
FREE_SETTINGS = {"resume", "save_folder", "data_folder", "path_t", "device", "trial", "cuda_graph"}

STATE_ENTRIES = {"settings", "task", "optimizer", "progress", "sums", "random"}
LONGEST_NAME = 200  # file systems allow 255 bytes; names of temporary files are longer


class RunFolder:
    """`save/<script>/<name>/`, held by one process at a time.

    Opening it reads only; `begin` makes it and takes its lock. Raises UserError when the run is finished,
    held by another process, unfinished without `resume`, or was begun with other settings.
    """

    def __init__(self, save_folder: Path, script: str, name: str, resume: bool):
        self.path = Path(save_folder) / script / short_enough(name)
        check_folder(self.path, "--save_folder")
        self.script, self.resume = script, resume
        self._lock = None
        self._writers: dict[str, Any] = {}
        self._seen = self._stamps()
        if not self.finished and self.checkpoints() and not resume:
            raise UserError(
                f"{self.path} holds an unfinished run: add --resume to go on, or name another with --trial"
            )
        if self.finished and not resume:
            raise UserError(
                f"{self.path} holds a finished run: name another with --trial, or move the folder away"
            )

    @property
    def finished(self) -> bool:
        """Whether the run's results stand there."""
        return (self.path / "results.json").exists()

    def checkpoints(self) -> list[Path]:
        """The newest checkpoint and the one before it, those that exist."""
        return [p for p in (self.path / "last.pth", self.path / "previous.pth") if p.exists()]

    def _stamps(self) -> list[tuple[str, int, int]]:
        """Which checkpoints and results stand there, and since when."""
        stamps = []
        for path in (*self.checkpoints(), *self.path.glob("results.json")):
            with contextlib.suppress(FileNotFoundError):
                stamps.append((path.name, path.stat().st_ino, path.stat().st_mtime_ns))
        return stamps

    def load(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """The state to go on from, None if there is none; UserError if it was made by other settings or is
        damaged.
        """
        found = self.checkpoints()
        if not found or not self.resume:
            return None
        try:
            state = read_checkpoint(found[0])
        except UserError as error:
            if len(found) == 1:
                raise
            raise UserError(
                f"{error} (the state before it is whole if {found[1].name} can be read: "
                f"remove {found[0].name} and run the same command again)"
            ) from None
        if not state.keys() >= STATE_ENTRIES:
            lacking = ", ".join(sorted(STATE_ENTRIES - state.keys()))
            raise UserError(
                f"{found[0]} is no state of a run, it lacks {lacking}: "
                "remove it and run the same command again"
            )
        before = state["settings"]
        differing = [
            f"{key} ({before.get(key)} then, {settings.get(key)} now)"
            for key in sorted(before.keys() | settings.keys())
            if key not in FREE_SETTINGS and before.get(key) != settings.get(key)
        ]
        if differing:
            raise UserError(
                f"{self.path} was begun with other settings: {', '.join(differing)}; "
                "repeat its command, or name another run with --trial"
            )
        return state

    def begin(self, settings: dict[str, Any], device: torch.device) -> None:
        """Make the folder, take its lock, write args.json."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / ".lock", "a")  # noqa: SIM115 (held until the process ends)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{self.path} is in use by another process: wait for it, or name another run with --trial"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot write to {self.path}: {one_line(error.strerror or error)}; choose another "
                "--save_folder"
            ) from error
        if self._stamps() != self._seen:
            raise UserError(
                f"{self.path} was changed by another process just now: run the same command again"
            )
        remove_leftovers(self.path)
        self.write_json(
            "args.json",
            {
                "command": " ".join(sys.argv),
                "settings": settings,
                "device": device_name(device),
                "versions": versions(),
                "git_commit": git_commit(),
            },
        )

    def close(self) -> None:
        """Flush the events and give the lock back."""
        for writer in self._writers.values():
            with contextlib.suppress(OSError):  # a full disk was reported already, and events are not state
                writer.close()
        if self._lock is not None:
            self._lock.close()

    def save(self, state: dict[str, Any]) -> None:
        """Replace the newest checkpoint; the one before stays as previous.pth."""
        keep_as(self.path / "last.pth", self.path / "previous.pth")
        write_checkpoint(state, self.path / "last.pth")

    def write_network(self, content: dict[str, Any], name: str) -> None:
        """Write a student's checkpoint, in the published teachers' format."""
        write_checkpoint(content, self.path / f"{name}.pth")

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write metrics.csv from all rows so far: it never has half a row, or a row twice."""
        text = io.StringIO()
        writer = csv.DictWriter(text, METRICS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: row.get(key) for key in METRICS})
        write_atomically(self.path / "metrics.csv", text.getvalue())

    def write_events(self, rows: list[dict[str, Any]], first_epoch: int) -> None:
        """Add an epoch's rows to TensorBoard, one event file per student; what a killed run wrote later is
        dropped.
        """
        from torch.utils.tensorboard import (
            SummaryWriter,  # slow to import, and only needed once training runs
        )

        try:
            for row in rows:
                name, epoch = row["student"], row["epoch"]
                if name not in self._writers:
                    folder = str(self.path / "tensorboard" / name)
                    self._writers[name] = SummaryWriter(folder, purge_step=first_epoch)
                for key, value in row.items():
                    if isinstance(value, float):
                        self._writers[name].add_scalar(key, value, epoch)
        except OSError as error:
            raise UserError(
                f"cannot write {self.path / 'tensorboard'}: {one_line(error.strerror or error)}; "
                "free the disk, then repeat the command with --resume"
            ) from error

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file at once."""
        write_atomically(self.path / name, json.dumps(content, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at once."""
        write_atomically(self.path / name, text)

    def log(self, line: str) -> None:
        """Print a line, and keep it in log.txt."""
        from tqdm import tqdm

        tqdm.write(line)
        try:
            with open(self.path / "log.txt", "a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.path / 'log.txt'}: {one_line(error.strerror or error)}"
            ) from error


def short_enough(name: str) -> str:
    """The name, or its beginning and a hash of the whole where a folder's name cannot be as long."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 13]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def settings_of(args: Any, **resolved: Any) -> dict[str, Any]:
    """All flags as plain values, and what 'auto' came to be."""
    plain = {
        key: str(value) if isinstance(value, os.PathLike) else value for key, value in vars(args).items()
    }
    return plain | resolved


def add_run_arguments(parser: Parser) -> None:
    """Seed, names, device, precision, and how to go on."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--seed", type=non_negative_int, default=1, help="of everything that is random (default 1)"
    )
    group.add_argument(
        "--trial", type=file_name, default="1", help="names the run, changes nothing (default 1)"
    )
    group.add_argument(
        "--save_folder", type=Path, default=Path("save"), help="root of all runs (default save)"
    )
    group.add_argument("--resume", action="store_true", help="go on where the same command was stopped")
    add_device_arguments(parser)
    group.add_argument(
        "--deterministic", action="store_true", help="the same bits at every run on a GPU too (slower)"
    )
    group.add_argument(
        "--compile", action="store_true", help="compile networks and methods with torch.compile"
    )
    group.add_argument(
        "--cuda_graph",
        action="store_true",
        help="replay the whole step as one CUDA graph, students side by side",
    )
