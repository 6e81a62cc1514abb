"""The one training loop: stages of epochs of steps, evaluation, what is kept. It knows no network and no
method.
"""

import math
import signal
import time
from dataclasses import replace
from typing import Any

import torch
from tqdm import tqdm

from engine.former import state_of_today
from engine.measured import Loaders, evaluated_rows, note_best
from engine.meters import Meters
from engine.optimizer import Recipe, load_optimizer, make_optimizer, set_learning_rates
from engine.progress import Progress, brief, epoch_line, last_row
from engine.run_folder import RunFolder
from engine.step import GraphedStep, Step
from engine.task import PRETRAINING, TRAINING, Task
from helper.errors import Diverged, Interrupted
from helper.randomness import derive_seed, random_states, set_random_states
from helper.signals import StopSignals
from models.record import NetworkRecord
from models.tapped import tap_names


class Trainer:
    """Trains a task to its last epoch, from the start or from where its run folder says.

    loaders: of training, test and validation; settings: what a checkpoint says of itself; facts: what the
    students' files have in common; save_every: seconds between states; graph: replay steps
    as a CUDA graph.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        loaders: Loaders,
        run: RunFolder,
        *,
        settings: dict[str, Any],
        facts: NetworkRecord,
        save_every: float = 0.0,
        graph: bool = False,
    ):
        self.task, self.recipe, self.loaders, self.run = task, recipe, loaders, run
        self.settings, self.facts, self.graph = settings, facts, graph
        self.save_every = save_every
        self.pretraining = task.pretraining_epochs(recipe.init_epochs)
        self.students = {student.plan.name: student for student in task.students}
        self.progress = Progress(stage=PRETRAINING if self.pretraining else TRAINING)
        self.meters = Meters(task.names, task.device)
        self._begin_stage(self.progress.stage)
        self._restored_random: dict[str, Any] | None = None
        self._stop_signal: int | None = None
        self._session_start = time.perf_counter()
        self._last_state = time.perf_counter()
        self._kept: tuple[str, int, int] | None = None

    def _begin_stage(self, name: str) -> None:
        """Prepare a stage, with an optimizer of its own: momentum belongs to the parameters that a stage
        trains.
        """
        self.task.begin_stage(name)
        optimizer = make_optimizer(self.task, self.recipe, capturable=self.graph)
        step = Step(self.task, optimizer, self.recipe.clip_grad)
        self.step = GraphedStep(step) if self.graph else step

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where a checkpoint was made: all that training changes, and every random stream."""
        state = state_of_today(state, self.task, self.loaders.train.batch_size)
        self.progress = Progress(**state["progress"])
        self._begin_stage(self.progress.stage)
        self.task.load_state_dict(state["task"])
        load_optimizer(self.step.optimizer, state["optimizer"])
        self.meters.load(state["sums"])
        self._restored_random = state["random"]

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on."""
        progress = vars(self.progress) | {"seconds": self._seconds()}
        return {
            "settings": self.settings,
            "task": self.task.state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "progress": progress,
            "sums": self.meters.state(),
            "random": random_states(self.task.device, self.task.generators()),
        }

    def fit(self) -> Progress:
        """Train to the last epoch; raises Diverged, or Interrupted once a stop was asked for and is saved."""
        first = self.progress.epoch + 1 if self.progress.stage == TRAINING else 1
        self.run.write_metrics(self.progress.rows)
        with StopSignals(self.stop):
            while self.progress.stage == PRETRAINING:
                self._pretraining_epoch(self.progress.epoch)
            while self.progress.epoch < self.recipe.epochs:
                self._training_epoch(self.progress.epoch, first)
        self.progress.seconds = self._seconds()
        self.run.wait()
        return self.progress

    def stop(self, signal_number: int) -> None:
        """Ask the loop to finish its step, save and leave."""
        self._stop_signal = signal_number

    def _pretraining_epoch(self, epoch: int) -> None:
        """An epoch of the first stage, which is not evaluated; the last one opens the second stage."""
        self._begin_epoch(epoch - self.pretraining)
        start = time.perf_counter()
        self._train(epoch - self.pretraining, f"first stage, epoch {epoch + 1}/{self.pretraining}")
        means = self.meters.means()
        self._check_finite(means)
        self._end_epoch()
        if self.progress.epoch == self.pretraining:
            self.progress.stage, self.progress.epoch = TRAINING, 0
            self._begin_stage(TRAINING)
        losses = brief(self.task.names, means)
        seconds = time.perf_counter() - start
        self.run.log(f"first stage, epoch {epoch + 1}/{self.pretraining}  loss: {losses}  {seconds:.1f} s")
        self.run.end_epoch({}, self._state_if_due(), self.progress.rows)
        self._leave_if_asked()

    def _training_epoch(self, epoch: int, first: int) -> None:
        online_weight, rates = self._begin_epoch(epoch)
        start = time.perf_counter()
        self._train(epoch, f"epoch {epoch + 1}/{self.recipe.epochs}")
        means = self.meters.means()
        self.progress.training_seconds += time.perf_counter() - start
        self._check_finite(means)
        try:
            rows = self._evaluated_rows(epoch + 1, means, rates, online_weight, start)
        except (MemoryError, RuntimeError):  # the epoch's steps are done: a resume only evaluates again
            self.run.end_epoch({}, self.state(), self.progress.rows)
            self.run.wait()
            raise
        self.progress.rows += rows
        self._end_epoch()
        networks = self._keep_best(rows)
        self.run.end_epoch(networks, self._state_if_due(), self.progress.rows, rows, first)
        self.run.log(epoch_line(self.progress, rows, self.recipe.epochs, self._seconds()))
        self._leave_if_asked()

    def _begin_epoch(self, epoch: int) -> tuple[float | None, dict[str, float]]:
        """Set seeds, schedules and rates for epoch `epoch` (from 0, negative in the first stage)."""
        torch.manual_seed(derive_seed(self.recipe.seed, "epoch", epoch))
        online_weight = self.task.begin_epoch(epoch, self.recipe.epochs)
        rates = set_learning_rates(self.step.optimizer, self.recipe, epoch)
        if self._restored_random is not None and self.progress.step:
            set_random_states(self._restored_random, self.task.generators())
        self._restored_random = None
        return online_weight, rates

    def _end_epoch(self) -> None:
        self.meters.reset()
        self.progress.epoch += 1
        self.progress.step = 0

    def _train(self, epoch: int, title: str) -> None:
        """The steps of an epoch, from where it was left."""
        self.task.train()
        done, total = self.progress.step, len(self.loaders.train)
        size, images = self.loaders.train.batch_size, self.loaders.train.n_data
        counts = {"total": min(total * size, images), "initial": done * size, "unit": " images"}
        with tqdm(desc=title, leave=False, disable=None, **counts) as bar:
            for batch in self.loaders.train.epoch(epoch, start=done):
                self.meters.add(self.step(batch), len(batch.labels))
                done += 1
                self.progress.step = done
                bar.update(len(batch.labels))
                if (means := self.meters.now_and_then()) is not None:
                    self._check_finite(means)
                    bar.set_postfix_str(brief(self.task.names, means))
                if self._stop_signal is not None and done < total:
                    self._leave_if_asked()

    def _evaluated_rows(
        self,
        epoch: int,
        means: dict[str, list[float]],
        rates: dict[str, float],
        online_weight: float | None,
        start: float,
    ) -> list[dict[str, Any]]:
        """The rows of metrics.csv for an epoch (from 1); raises Diverged if a loss in them is not finite."""
        rows, self.progress.weights = evaluated_rows(
            self.task, self.loaders, epoch, means, rates, online_weight, start
        )
        for row in rows:
            if not math.isfinite(row["test_loss"]):
                raise self._diverged(row["student"], "the test loss", row["test_loss"])
        return rows

    def _keep_best(self, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Remember the best epoch of each name; returns the networks of the students that just had theirs."""
        better = note_best(self.progress.best, rows)
        return {
            f"{row['student']}_best": self.network_content(row)
            for row in better
            if row["student"] in self.students
        }

    def last_networks(self) -> dict[str, dict[str, Any]]:
        """Each student's network after the last epoch, and its moving average if one is kept, by the names of
        their files.
        """
        found = {}
        for name in self.students:
            row = last_row(self.progress, name)
            found[f"{name}_last"] = self.network_content(row)
            if name in self.task.averaged:
                found[f"{name}_ema_last"] = self.network_content(row, averaged=True)
        return found

    def network_content(self, row: dict[str, Any], averaged: bool = False) -> dict[str, Any]:
        """A student's checkpoint in the published teachers' format, for a row of metrics.csv.

        averaged: of the moving average of its network.
        """
        student = self.students[row["student"]]
        record = replace(
            self.facts,
            arch=student.plan.arch,
            student=student.plan.name,
            epoch=row["epoch"],
            accuracy=row["test_acc_ema" if averaged else "test_acc"],
            taps=tap_names(student.network),
            small_stem=student.plan.small_stem or None,
            ema=self.recipe.ema if averaged else None,
        )
        return record.content(self.task.averaged[student.plan.name] if averaged else student.network)

    def _state_if_due(self) -> dict[str, Any] | None:
        """The state, unless one was written less than `save_every` seconds ago and more are to come."""
        now = time.perf_counter()
        last_epoch = self.progress.stage == TRAINING and self.progress.epoch >= self.recipe.epochs
        if not last_epoch and self._stop_signal is None and now - self._last_state < self.save_every:
            return None
        self._last_state, self._kept = now, self.progress.place
        return self.state()

    def _check_finite(self, means: dict[str, list[float]]) -> None:
        """Raise Diverged if a term is not finite, naming the one that was the first: the others follow it."""
        if (broken := self.meters.first_broken(means)) is not None:
            student, term, value = broken
            raise self._diverged(student, f"its loss term '{term}'", value)

    def _diverged(self, student: str, what: str, value: float) -> Diverged:
        self.run.wait()
        kept = self.run.path / "last.pth"
        there = f"{kept} holds an earlier state" if kept.exists() else "no state was written yet"
        return Diverged(
            f"student {student} diverged in epoch {self.progress.epoch + 1}: {what} is {value}; {there}; "
            "try --clip_grad 5, a smaller --learning_rate or a smaller weight of the method (-b)"
        )

    def _leave_if_asked(self) -> None:
        finished = self.progress.stage == TRAINING and self.progress.epoch >= self.recipe.epochs
        if self._stop_signal is None or finished:
            return
        if self.progress.place != self._kept:
            self._check_finite(self.meters.means())
            self.run.end_epoch({}, self.state(), self.progress.rows)
        self.run.wait()
        where = f"epoch {self.progress.epoch}" + (
            "" if self.progress.stage == TRAINING else " of the first stage"
        )
        raise Interrupted(
            f"stopped by {signal.Signals(self._stop_signal).name} after {where} and "
            f"{self.progress.step} steps; saved in {self.run.path}: the same command with --resume "
            "goes on from there",
            self._stop_signal,
        )

    def _seconds(self) -> float:
        now = time.perf_counter()
        spent = now - self._session_start
        self._session_start = now
        self.progress.seconds += spent
        return self.progress.seconds
