"""The one training loop: epochs of steps, evaluation, checkpoints. It knows no network, no method and no
ensemble.
"""

import argparse
import math
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dataset.loader import EvalLoader, TrainLoader
from engine.evaluation import Scores, evaluate
from engine.meters import Look
from engine.optimizer import decay_epochs, load_optimizer, set_learning_rates
from engine.run_folder import RunFolder
from engine.step import Step
from engine.task import TERMS, Task
from helper.errors import Diverged, Interrupted
from helper.randomness import derive_seed
from helper.signals import StopSignals


@dataclass
class Progress:
    """Where a run stands: finished epochs, steps into the next one, and what was measured so far.

    rows: those of metrics.csv; best: per name the best accuracy that selects, its epoch and its test
    accuracy.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: list[float] | None = None
    seconds: float = 0.0
    training_seconds: float = 0.0


class Trainer:
    """Trains a task to its last epoch, from the start or from where its run folder says.

    num_classes: written into the students' checkpoints.
    """

    def __init__(
        self,
        task: Task,
        step: Step,
        train: TrainLoader,
        test: EvalLoader,
        validation: EvalLoader | None,
        run: RunFolder,
        args: argparse.Namespace,
        settings: dict[str, Any],
        num_classes: int,
    ):
        self.task, self.step, self.run, self.args, self.settings = task, step, run, args, settings
        self.optimizer = step.optimizer if isinstance(step, Step) else step.step.optimizer
        self.train, self.test, self.validation = train, test, validation
        self.num_classes = num_classes
        self.entries = {entry.name: entry for entry in task.entries}
        self.progress = Progress()
        self._sums = torch.zeros(len(task.names), len(TERMS), dtype=torch.float64, device=task.device)
        self._finite_steps = torch.zeros(self._sums.shape, dtype=torch.int32, device=task.device)
        self._restored_random: dict[str, Any] | None = None
        self._stop_signal: int | None = None
        self._session_start = time.perf_counter()

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where a checkpoint was made: all that training changes, and every random stream."""
        self.task.load_state_dict(state["task"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.progress = Progress(**state["progress"])
        self._sums.copy_(state["sums"])
        self._restored_random = state["random"]

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on."""
        progress = vars(self.progress) | {"seconds": self._seconds()}
        return {
            "settings": self.settings,
            "task": self.task.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": progress,
            "sums": self._sums,
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state() if self.task.device.type == "cuda" else None,
                "methods": self.task.random_states(),
            },
        }

    def fit(self) -> Progress:
        """Train to the last epoch; raises Diverged, or Interrupted once a stop was asked for and is saved."""
        first = self.progress.epoch + 1
        self.run.write_metrics(self.progress.rows)
        with StopSignals(self.stop):
            while self.progress.epoch < self.args.epochs:
                rows = self._one_epoch(self.progress.epoch)
                self.run.write_metrics(self.progress.rows)
                self.run.write_events(rows, first)
                self._say(rows)
                self._leave_if_asked()
        self.progress.seconds = self._seconds()
        return self.progress

    def stop(self, signal_number: int) -> None:
        """Ask the loop to finish its step, save and leave."""
        self._stop_signal = signal_number

    def _one_epoch(self, epoch: int) -> list[dict[str, Any]]:
        torch.manual_seed(derive_seed(self.args.seed, "epoch", epoch))
        online_weight = self.task.begin_epoch(epoch, self.args.epochs)
        rates = set_learning_rates(self.optimizer, epoch, decay_epochs(self.args), self.args.lr_decay_rate)
        if self._restored_random is not None and self.progress.step:
            torch.set_rng_state(self._restored_random["cpu"])
            if self._restored_random["cuda"] is not None:
                torch.cuda.set_rng_state(self._restored_random["cuda"])
            self.task.set_random_states(self._restored_random["methods"])
        self._restored_random = None

        start = time.perf_counter()
        self._train(epoch)
        trained = self._means(len(self.train))
        seconds = time.perf_counter() - start
        self._check_finite(trained)
        rows = self._evaluated_rows(epoch + 1, trained, rates, online_weight, start)

        self._sums.zero_()
        self._finite_steps.zero_()
        self.progress.rows += rows
        self.progress.epoch, self.progress.step = epoch + 1, 0
        self.progress.training_seconds += seconds
        self._keep_best(rows)
        self.run.save(self.state())
        return rows

    def _train(self, epoch: int) -> None:
        self.task.train()
        done = self.progress.step
        bar = tqdm(
            total=len(self.train),
            initial=done,
            desc=f"epoch {epoch + 1}/{self.args.epochs}",
            unit="step",
            leave=False,
            disable=None,
        )
        look = Look(self._sums)
        with bar:
            for batch in self.train.epoch(epoch, start=done):
                self._sums += self.step(batch)
                self._finite_steps += self._sums.isfinite()
                done += 1
                self.progress.step = done
                bar.update()
                if (sums := look.now_and_then(done)) is not None:
                    means = sums[0] / sums[1]
                    self._check_finite(means)
                    bar.set_postfix_str(self._brief(means))
                if self._stop_signal is not None and done < len(self.train):
                    self._leave_if_asked()

    def _evaluated_rows(
        self, epoch: int, trained: Tensor, rates: dict[str, float], online_weight: float | None, start: float
    ) -> list[dict[str, Any]]:
        """The rows of metrics.csv for an epoch (from 1), one per student and one for the ensemble."""
        self.task.eval()
        test, weights = evaluate(self.task.predict, self.test)
        validation = evaluate(self.task.predict, self.validation)[0] if self.validation else {}
        self.progress.weights = weights
        rows = []
        for name, scores in test.items():
            row: dict[str, Any] = {"epoch": epoch, "student": name, "learning_rate": rates.get(name)}
            if name in self.task.names:
                k = self.task.names.index(name)
                values = dict(zip(TERMS, trained[k].tolist(), strict=True))
                row |= {"train_loss": values["loss"], "train_acc": 100 * values["correct"]}
                row |= {f"loss_{term}": values[term] for term in TERMS[2:] if values[term]}
                row |= {"ensemble_weight": weights[k] if weights else None, "online_weight": online_weight}
            if not math.isfinite(scores.loss):
                raise self._diverged(name, "the test loss", scores.loss)
            row |= {"test_loss": scores.loss, "test_acc": scores.top1, "test_acc_top5": scores.top5}
            if name in validation:
                held_out: Scores = validation[name]
                row |= {"val_loss": held_out.loss, "val_acc": held_out.top1}
            rows.append(row | {"seconds": round(time.perf_counter() - start, 3)})
        return rows

    def _keep_best(self, rows: list[dict[str, Any]]) -> None:
        """Remember the best epoch of each name, and write the network of a student that had one."""
        for row in rows:
            name = row["student"]
            selecting = row.get("val_acc", row["test_acc"])
            if name in self.progress.best and selecting <= self.progress.best[name]["selecting"]:
                continue
            self.progress.best[name] = {
                "selecting": selecting,
                "epoch": row["epoch"],
                "test_acc": row["test_acc"],
            }
            if name in self.entries:
                self.run.write_network(self.network_content(row), f"{name}_best")

    def network_content(self, row: dict[str, Any]) -> dict[str, Any]:
        """A student's checkpoint in the published teachers' format, for a row of metrics.csv."""
        entry = self.entries[row["student"]]
        return {
            "model": entry.network.state_dict(),
            "epoch": row["epoch"],
            "accuracy": row["test_acc"],
            "arch": entry.model,
            "num_classes": self.num_classes,
        }

    def _means(self, steps: int) -> Tensor:
        return self._sums.cpu() / steps

    def _check_finite(self, means: Tensor) -> None:
        """Raise Diverged if a term is not finite, naming the one that was the first: the others follow it."""
        broken = ~torch.isfinite(means)
        if not broken.any():
            return
        steps = self._finite_steps.cpu().tolist()
        order = [*TERMS[2:], "loss", "correct"]  # a sum is not the cause, and comes after its parts
        _, place, k = min(
            (steps[k][TERMS.index(term)], place, k)
            for place, term in enumerate(order)
            for k in range(len(steps))
            if broken[k, TERMS.index(term)]
        )
        value = means[k, TERMS.index(order[place])].item()
        raise self._diverged(self.task.names[k], f"its loss term '{order[place]}'", value)

    def _diverged(self, student: str, what: str, value: float) -> Diverged:
        kept = self.run.path / "last.pth"
        there = (
            f"{kept} holds the state after epoch {self.progress.epoch}"
            if kept.exists()
            else "no epoch was finished"
        )
        return Diverged(
            f"student {student} diverged in epoch {self.progress.epoch + 1}: {what} is {value}; {there}; "
            "try --clip_grad 5, a smaller --learning_rate or a smaller weight of the method (-b)"
        )

    def _leave_if_asked(self) -> None:
        if self._stop_signal is None or self.progress.epoch >= self.args.epochs:
            return
        if self.progress.step:
            self._check_finite(self._means(self.progress.step))
            self.run.save(self.state())
        raise Interrupted(
            f"stopped by {signal.Signals(self._stop_signal).name} after epoch {self.progress.epoch} and "
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

    def _brief(self, means: Tensor) -> str:
        return "  ".join(
            f"{name} {row[0]:.3g} {100 * row[1]:.1f}%"
            for name, row in zip(self.task.names, means.tolist(), strict=True)
        )

    def _say(self, rows: list[dict[str, Any]]) -> None:
        """The line of an epoch: loss and accuracies of each student, and the time that is left."""
        parts = []
        for row in rows:
            loss = f" (loss {row['train_loss']:.3f})" if "train_loss" in row else ""
            parts.append(f"{row['student']} {row['test_acc']:.2f} %{loss}")
        per_epoch = self._seconds() / self.progress.epoch
        left = per_epoch * (self.args.epochs - self.progress.epoch)
        self.run.log(
            f"epoch {self.progress.epoch}/{self.args.epochs}  test accuracy: {', '.join(parts)}  "
            f"{rows[-1]['seconds']:.1f} s, {tqdm.format_interval(left)} left"
        )
