"""Where a run stands, and how it says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from engine.task import TRAINING


@dataclass
class Progress:
    """Where a run stands: its stage, finished epochs of it, steps into the next one, and what
    was measured so far.

    rows: those of metrics.csv; best: per name the best accuracy that selects, its epoch and its
    test accuracy; weights: the ensemble's; seconds: of all processes that trained this run,
    training_seconds: without evaluation.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: list[float] | None = None
    seconds: float = 0.0
    training_seconds: float = 0.0
    stage: str = TRAINING

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it stands, for a comparison with where it stood."""
        return self.stage, self.epoch, self.step

    @property
    def trained(self) -> int:
        """Finished epochs of the run itself, none of them in a method's first stage."""
        return self.epoch if self.stage == TRAINING else 0


def brief(names: Sequence[str], means: Mapping[str, Sequence[float]]) -> str:
    """Loss and training accuracy of each student that has a loss, in a few words."""
    columns = zip(names, means["loss"], means["correct"], strict=True)
    return "  ".join(f"{name} {loss:.4g} {100 * correct:.1f}%" for name, loss, correct in columns if loss)


def epoch_line(progress: Progress, rows: Sequence[Mapping[str, Any]], epochs: int, seconds: float) -> str:
    """The line of an epoch: loss and accuracy of each student, and the time that is left.

    rows: the epoch's of metrics.csv; epochs: of the whole run; seconds: that it took so far.
    """
    parts = []
    for row in rows:
        loss = f" (loss {row['train_loss']:.3f})" if "train_loss" in row else ""
        averaged = f", averaged {row['test_acc_ema']:.2f} %" if "test_acc_ema" in row else ""
        parts.append(f"{row['student']} {row['test_acc']:.2f} %{averaged}{loss}")
    left = seconds / progress.epoch * (epochs - progress.epoch)
    return (
        f"epoch {progress.epoch}/{epochs}  test accuracy: {', '.join(parts)}  "
        f"{rows[-1]['seconds']:.1f} s, {tqdm.format_interval(left)} left"
    )


def last_row(progress: Progress, name: str) -> dict[str, Any]:
    """The last epoch's row of metrics.csv of a student or the ensemble."""
    return next(row for row in reversed(progress.rows) if row["student"] == name)
