"""Runs side by side: one per GPU, or some on a CPU, each in a process of its own with a log of its own."""

import contextlib
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from helper.errors import Interrupted
from helper.signals import StopSignals
from scripts import as_typed, in_root

EPOCH = re.compile(rb"epoch (\d+)/\d+ ")
TAIL = 16_384
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_LINES = 300  # of the progress, where it goes to a file


@dataclass(frozen=True)
class Job:
    """One run: the words after `python`, its epochs, the checkpoint that it needs, the one that it leaves."""

    name: str
    words: tuple[str, ...]
    epochs: int
    needs: Path | None = None
    leaves: Path | None = None

    @property
    def command(self) -> str:
        """The command as a user would type it."""
        return shlex.join(["python", as_typed(self.words[0]), *self.words[1:]])


class Runner:
    """Runs jobs as soon as what they need is there, and keeps every slot busy.

    slots: values of CUDA_VISIBLE_DEVICES, or None for a CPU, one per run at a time; logs: their folder;
    is_done: whether a job's result is there, asked when its process has ended well.
    """

    def __init__(self, slots: Sequence[str | None], logs: Path, is_done: Callable[[Job], bool]):
        self.width, self.logs, self.is_done = len(slots), logs, is_done
        self.slots: queue.Queue[str | None] = queue.Queue()
        for slot in slots:
            self.slots.put(slot)
        self.failed: dict[Job, str] = {}
        self.ended = self.count = 0
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen] = []
        self._stops: list[int] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all jobs; those that fail, or need one that failed, are in `failed` with the reason.

        Raises Interrupted after a signal to stop, once the runs have saved and left.
        """
        self.ended, self.count = 0, len(jobs)
        stops = StopSignals(self._stops.append, every=True)
        with stops, self._bar(jobs) as bar, ThreadPoolExecutor(self.width) as pool:
            try:
                self._schedule(jobs, lambda job: pool.submit(self._run, job, bar))
            except BaseException:
                self._signal_runs(signal.SIGTERM)
                raise
        if self._stops:
            raise Interrupted("stopped; the same command goes on where this one was", self._stops[0])

    def _schedule(self, jobs: Sequence[Job], submit: Callable[[Job], Future]) -> None:
        makers = {job.leaves: job for job in jobs if job.leaves}
        waiting, running, asked = list(jobs), {}, 0
        while running or (waiting and not self._stops):
            if len(self._stops) > asked:
                if not asked:
                    say(f"stopping: {len(running)} runs save their state (stop once more to kill them)")
                self._signal_runs(signal.SIGKILL if asked else signal.SIGTERM)
                asked = len(self._stops)
            ready = [job for job in waiting if makers.get(job.needs) not in (*waiting, *running.values())]
            for job in ready[: 0 if asked else self.width - len(running)]:
                waiting.remove(job)
                running[submit(job)] = job
            for future in wait(running, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done:
                del running[future]
                future.result()

    def _run(self, job: Job, bar: tqdm) -> None:
        """Run one job in a free slot, and say how it went."""
        slot, begun = self.slots.get(), time.monotonic()
        if job.needs and not job.needs.exists():
            how, reason = "left out", f"its teacher {job.needs} is missing"
        else:
            how, reason = "failed  ", self._reason_of_failure(job, slot, bar)
        self.slots.put(slot)
        with self._lock:
            self.ended += 1
            if not reason:
                took = tqdm.format_interval(time.monotonic() - begun)
                say(f"finished  {job.name} in {took}  ({self.ended} of {self.count} runs)")
            elif not self._stops:
                self.failed[job] = reason
                say(f"{how}  {job.name}: {reason}")

    def _reason_of_failure(self, job: Job, slot: str | None, bar: tqdm) -> str | None:
        log = self.logs / f"{job.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as out, open(log, "rb") as told:
            out.write(f"$ {job.command}\n".encode())
            out.flush()
            told.seek(0, os.SEEK_END)
            with self._lock:
                if self._stops:
                    return "stopped"
                say(f"start     {job.name}{f' on GPU {slot}' if slot else ''}: {job.command}  (log: {log})")
                process = subprocess.Popen(
                    [sys.executable, in_root(job.words[0]), *job.words[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=os.environ | ({} if slot is None else {"CUDA_VISIBLE_DEVICES": slot}),
                    start_new_session=True,  # Ctrl-C reaches the run once, from here
                )
                self._processes.append(process)
            left = job.epochs
            while process.returncode is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS_BETWEEN_LOOKS)
                for epoch in [int(found[1]) for line in told if (found := EPOCH.match(line))]:
                    with self._lock:
                        bar.total -= left - (job.epochs - epoch) - 1  # those made by an earlier process
                        left = job.epochs - epoch
                        bar.update()
            with self._lock:
                bar.total -= left
        if process.returncode:
            return f"exit status {process.returncode}: {last_line(log)} (log: {log})"
        if not self.is_done(job):
            return f"it left no results with these settings: does its folder hold another run? (log: {log})"
        return None

    def _bar(self, jobs: Sequence[Job]) -> tqdm:
        seconds = 0.5 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
        epochs = sum(job.epochs for job in jobs)
        times = {"mininterval": seconds, "maxinterval": seconds, "smoothing": 0}
        return tqdm(total=epochs, unit="epoch", leave=False, disable=not jobs, **times)

    def _signal_runs(self, number: int) -> None:
        with self._lock:
            for process in self._processes:
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, number)

    def tell_failures(self, count: int) -> int:
        """Say which of all runs failed, why, and by which command each is tried alone; the exit status."""
        if self.failed:
            say(f"{len(self.failed)} of {count} runs failed; the same command tries them again:")
        for job, reason in self.failed.items():
            say(f"  {job.name}: {reason}\n    {job.command}")
        return 1 if self.failed else 0


def say(line: str) -> None:
    """Print a line at once, above the progress."""
    tqdm.write(line)
    sys.stdout.flush()


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = log.read_bytes()[-TAIL:].decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
