"""A run's folder: who may write to it, what stands in it, and how it gets there beside training."""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from helper.arguments import file_name, non_negative_float, path
from helper.checkpoint import copied, read_checkpoint, write_checkpoint
from helper.device import device_name
from helper.errors import UserError, one_line
from helper.files import check_folder, folder_name, hard_link, lock, remove_leftovers, write_atomically
from helper.provenance import git_commit, versions
from helper.results import metrics_text, read_json

STATE_ENTRIES = {"settings", "task", "optimizer", "progress", "sums", "random"}
LONGEST_NAME = 200  # file systems allow 255 bytes; names of temporary files are longer


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run stands, and when it is written."""

    trial: Annotated[str, file_name, "names the run, changes nothing"] = "1"
    save_folder: Annotated[Path, path, "root of all runs"] = Path("save")
    resume: Annotated[bool, "go on where the same command was stopped"] = False
    save_every: Annotated[
        float,
        non_negative_float,
        "write the state for --resume at most so often, and always at the end and at a stop",
        {"metavar": "SECONDS"},
    ] = 60.0


class RunFolder:
    """`save/<script>/<name>/`, held by one process at a time.

    Opening it reads only; `begin` makes it and takes its lock. What belongs to an epoch is written by a
    thread of its own, one epoch after the other, from copies; `wait` returns once all of it is on the disk,
    and every method raises what went wrong there. former_name: a name that the same run had in an earlier
    version. Raises UserError when the run is finished or unfinished and `resume` was not asked for.
    """

    def __init__(self, place: Place, script: str, name: str, former_name: str | None = None):
        root = Path(place.save_folder) / script
        self.path = root / short_enough(name)
        if former_name and not self.path.exists() and (root / short_enough(former_name)).exists():
            self.path = root / short_enough(former_name)
        check_folder(self.path, "--save_folder")
        self.script, self.resume = script, place.resume
        self._lock = None
        self._writers: dict[str, Any] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="run folder")
        self._written: Future | None = None
        self._seen = self._stamps()
        if not self.finished and self.checkpoints() and not self.resume:
            raise UserError(
                f"{self.path} holds an unfinished run: add --resume to go on, or name another with --trial"
            )
        if self.finished and not self.resume:
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
        for file in (*self.checkpoints(), *self.path.glob("results.json")):
            with contextlib.suppress(FileNotFoundError):
                stamps.append((file.name, file.stat().st_ino, file.stat().st_mtime_ns))
        return stamps

    def load(self) -> dict[str, Any] | None:
        """The state to go on from, None if there is none; UserError if it is damaged or none of a run."""
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
        return state

    def settings_of_finished(self) -> Mapping[str, Any]:
        """The settings of a finished run without a state, from its args.json."""
        content = read_json(self.path / "args.json")
        return content.get("settings", {}) if isinstance(content, dict) else {}

    def begin(self, asked: Mapping[str, Any], device: torch.device) -> None:
        """Make the folder, take its lock, write args.json: what was asked, and what it was asked of."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.path / ".lock")
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
        (self.path / "results.json").unlink(missing_ok=True)  # a finished run that goes on is unfinished
        about = {"device": device_name(device), "versions": versions(), "git_commit": git_commit()}
        self.write_json("args.json", {"command": " ".join(sys.argv), **asked, **about})
        if not in_utf8(self.path):
            self.log(f"warning: {self.path} has no name in UTF-8, which TensorBoard wants: no events")

    def close(self) -> None:
        """Flush the events and give the lock back."""
        self._thread.shutdown(wait=True)
        for writer in self._writers.values():
            with contextlib.suppress(OSError):  # a full disk was reported already, and events are not state
                writer.close()
        if self._lock is not None:
            self._lock.close()

    def end_epoch(
        self,
        networks: Mapping[str, Mapping[str, Any]],
        state: Mapping[str, Any] | None,
        rows: Sequence[Mapping[str, Any]],
        new: Sequence[Mapping[str, Any]] = (),
        first_epoch: int = 1,
    ) -> None:
        """Have networks, the state if there is one, metrics.csv and events written, in that order.

        networks: checkpoints by name; rows: of all epochs; new: those of this one; first_epoch:
        of this process, in whose events what a killed run wrote later is dropped. Tensors are
        copied before this returns.
        """
        self.wait()
        networks, state = copied(networks), copied(state)

        def write() -> None:
            for name, content in networks.items():
                self.write_network(content, name)
            if state is not None:
                self.save(state)
            self.write_metrics(rows)
            self._write_events(new, first_epoch)

        rows = list(rows)
        self._written = self._thread.submit(write)

    def wait(self) -> None:
        """Return once everything is written; raises what went wrong."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the newest checkpoint; the one before stays as previous.pth."""
        hard_link(self.path / "last.pth", self.path / "previous.pth")
        write_checkpoint(state, self.path / "last.pth")

    def write_network(self, content: Mapping[str, Any], name: str) -> None:
        """Write a student's checkpoint, in the published teachers' format."""
        write_checkpoint(content, self.path / f"{name}.pth")

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv from all rows so far: it never has half a row, or a row twice."""
        write_atomically(self.path / "metrics.csv", metrics_text(rows))

    def _write_events(self, rows: Sequence[Mapping[str, Any]], first_epoch: int) -> None:
        """Add an epoch's rows to TensorBoard, one event file per student."""
        from torch.utils.tensorboard import (
            SummaryWriter,  # slow to import, and only needed once training runs
        )

        if not in_utf8(self.path):
            return
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

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file at once."""
        write_atomically(self.path / name, json.dumps(content, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at once."""
        write_atomically(self.path / name, text)

    def log(self, line: str) -> None:
        """Print a line, and keep it in log.txt; whoever listened may have gone."""
        from tqdm import tqdm

        try:
            tqdm.write(line)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        try:
            with open(self.path / "log.txt", "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.path / 'log.txt'}: {one_line(error.strerror or error)}"
            ) from error


def in_utf8(path: Path) -> bool:
    """Whether a path has a name in UTF-8, as TensorBoard wants it; Linux allows any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def short_enough(name: str) -> str:
    """The name as a folder can have it: without slashes and colons, and where it is too long its beginning
    and a hash of the whole.
    """
    name = folder_name(name)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 13]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
