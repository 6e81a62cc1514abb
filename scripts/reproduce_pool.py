"""Runs side by side: one per GPU, or one at a time on a CPU, with the time that is left."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helper.errors import Interrupted
from scripts.reproduce_plan import Job

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EPOCH = re.compile(rb"^epoch (\d+)/(\d+) ", re.MULTILINE)
TAIL = 16_384
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_BETWEEN_LINES = 300


@dataclass
class Running:
    """A job at work: its process, its place, and how far its log says that it is."""

    job: Job
    process: subprocess.Popen
    slot: str | None
    log: Path
    log_start: int
    begun: float = field(default_factory=time.monotonic)
    began_at: float | None = None
    share: float = 0.0

    def look(self) -> None:
        """Read the last finished epoch from the log."""
        with open(self.log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.log_start, end - TAIL))
            found = EPOCH.findall(file.read())
        if found:
            first, last = (int(epoch) / int(epochs) for epoch, epochs in (found[0], found[-1]))
            if self.began_at is None:
                self.began_at = max(0.0, first - 1 / int(found[0][1]))
            self.share = last

    def work_done(self) -> float:
        """Work since this process began."""
        return self.job.work * (self.share - (self.began_at or 0.0))


class Pool:
    """Runs jobs as soon as what they need is there, and keeps every slot busy.

    slots: values of CUDA_VISIBLE_DEVICES, or [None] for a CPU; is_done(job): whether its result is there now;
    speed: work per second of a slot known from earlier runs, or None; say: where lines go.
    """

    def __init__(
        self,
        slots: Sequence[str | None],
        logs: Path,
        is_done: Callable[[Job], bool],
        speed: float | None = None,
        say: Callable[[str], None] = print,
    ):
        self.slots, self.logs, self.is_done, self.speed, self.say = list(slots), logs, is_done, speed, say
        self.running: list[Running] = []
        self.done: list[Job] = []
        self.failed: dict[Job, str] = {}
        self._spent: list[tuple[float, float]] = []
        self._stop: int | None = None
        self._stops = 0
        self._last_line = time.monotonic()
        self._is_terminal = sys.stdout.isatty()

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all jobs; those that fail, or need one that failed, are in `failed` with the reason.

        Raises Interrupted after SIGINT, SIGTERM or SIGHUP, once the runs have saved and left.
        """
        waiting, count = list(jobs), len(jobs)
        makers = {job.leaves: job for job in jobs if job.leaves}
        with self._signals():
            while (waiting or self.running) and self._stop is None:
                self._give_up(waiting, makers)
                self._start(waiting, makers, count)
                self._collect(count)
                self._status(waiting, count)
                if self.running:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
            self._leave_if_stopped()

    def _give_up(self, waiting: list[Job], makers: dict[Any, Job]) -> None:
        """Take out the jobs whose teacher failed, or is neither there nor planned."""
        for job in [job for job in waiting if job.needs and not job.needs.exists()]:
            maker = makers.get(job.needs)
            if maker is None or maker in self.failed or maker in self.done:
                waiting.remove(job)
                self.failed[job] = f"its teacher {job.needs} is missing"
                self._tell(f"left out  {job.name}: {self.failed[job]}")

    def _start(self, waiting: list[Job], makers: dict[Any, Job], count: int) -> None:
        used = [run.slot for run in self.running]
        for slot in [slot for slot in self.slots if slot not in used]:
            ready = (job for job in waiting if job.needs is None or job.needs.exists())
            job = next(ready, None)
            if job is None:
                return
            waiting.remove(job)
            log = self.logs / f"{job.name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            place = f" on GPU {slot}" if slot is not None else ""
            self._tell(f"start     {job.name}{place}: {job.command}  (log: {log})")
            environment = os.environ | ({} if slot is None else {"CUDA_VISIBLE_DEVICES": slot})
            with open(log, "ab") as file:
                file.write(f"$ {job.command}\n".encode())
                file.flush()
                start = file.tell()
                # a session of its own: Ctrl-C reaches the run once, from here
                process = subprocess.Popen(
                    [sys.executable, *job.words],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            self.running.append(Running(job, process, slot, log, start))

    def _collect(self, count: int) -> None:
        for run in self.running:
            run.look()
        for run in [run for run in self.running if run.process.poll() is not None]:
            self.running.remove(run)
            seconds = time.monotonic() - run.begun
            status = run.process.returncode
            if status == 0 and self.is_done(run.job):
                self.done.append(run.job)
                if run.share:
                    self._spent.append((run.work_done(), seconds))
                self._tell(f"finished  {run.job.name} in {clock(seconds)}  ({self._count(count)})")
                continue
            reason = f"exit status {status}: {last_line(run.log)}"
            if status == 0:
                reason = "it left no results with these settings: does its folder hold another run?"
            self.failed[run.job] = f"{reason} (log: {run.log})"
            self._tell(f"failed    {run.job.name}: {self.failed[run.job]}")

    def _count(self, count: int) -> str:
        return f"{len(self.done) + len(self.failed)} of {count} runs"

    def seconds_left(self, waiting: Sequence[Job]) -> float | None:
        """The time for what is left, at the speed so far; None as long as no epoch is finished anywhere."""
        now = time.monotonic()
        spent = [*self._spent, *((r.work_done(), now - r.begun) for r in self.running if r.share)]
        work, seconds = (sum(column) for column in zip(*spent, strict=True)) if spent else (0, 0)
        speed = work / seconds if work > 0 and seconds > 0 else self.speed
        if not speed:
            return None
        left = [run.job.work * (1 - run.share) for run in self.running]
        every = left + [job.work for job in waiting]
        return max(sum(every) / len(self.slots), max(every, default=0)) / speed

    def _status(self, waiting: Sequence[Job], count: int) -> None:
        now = time.monotonic()
        if now - self._last_line < (1 if self._is_terminal else SECONDS_BETWEEN_LINES) or not self.running:
            return
        self._last_line = now
        seconds = self.seconds_left(waiting)
        left = "time left: known after the first epoch" if seconds is None else f"about {clock(seconds)} left"
        now_running = ", ".join(f"{run.job.name} {run.share:.0%}" for run in self.running)
        line = f"{self._count(count)}, {left}; running: {now_running}"
        if self._is_terminal:
            width = max(20, os.get_terminal_size().columns - 1)
            print(f"\r{line[:width]:<{width}}\r", end="", flush=True)
        else:
            self._tell(line)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def handle(number: int, frame: object) -> None:
            self._stop, self._stops = number, self._stops + 1

        before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _leave_if_stopped(self) -> None:
        if self._stop is None:
            return
        self._tell(f"stopping: {len(self.running)} runs save their state (stop once more to kill them)")
        self._signal_runs(signal.SIGTERM)
        asked = self._stops
        while any(run.process.poll() is None for run in self.running):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if self._stops > asked:
                self._signal_runs(signal.SIGKILL)
        raise Interrupted("stopped; the same command goes on where this one was", self._stop)

    def _signal_runs(self, number: int) -> None:
        for run in self.running:
            if run.process.poll() is None:
                os.killpg(run.process.pid, number)

    def _tell(self, line: str) -> None:
        """Say a line, over the status line if there is one."""
        if self._is_terminal:
            print(f"\r{' ' * (os.get_terminal_size().columns - 1)}\r", end="")
        self.say(line)


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = log.read_bytes()[-TAIL:].decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def clock(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s"
