"""Whole runs of other recipes than the published one: their rates, how they go on, and when they may not."""

import csv
import signal

import pytest

from tests.commands import running
from tests.commands.running import STEPS, outcome, run_folder

ADAMW = (
    "train_modreduce --model_s resnet8 --distill kd crd --nce_k 8 --feat_dim 16 --optimizer adamw "
    "--weight_decay 0.05 --clip_grad 1 --lr_decay_epochs 9"
)
TEACHER = "train_teacher --model resnet8 --schedule cosine"
FT = "train_student --model_s resnet8 --distill ft --init_epochs 1 --schedule cosine --warmup_epochs 2"


def column(root, name: str) -> list[str]:
    """A column of the metrics.csv of the run below a save folder."""
    with open(run_folder(root) / "metrics.csv", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_a_first_stage_keeps_its_rate_and_a_stopped_run_ends_the_same(runner, root):
    """Stopped in the warm-up's second epoch; with another schedule it does not go on."""
    whole = root.with_name(f"{root.name}_whole")
    assert runner(FT, "--save_folder", whole.name).status == 0
    assert [float(rate) for rate in column(whole, "learning_rate")] == pytest.approx([0.025, 0.05, 0.05])
    flags = (FT, "--save_folder", root.name, "--resume")
    ended = runner(*flags, hook=running.signalled_at, hook_arguments=(2 * STEPS + 2, int(signal.SIGTERM)))
    assert "after epoch 1 and 2 steps" in ended.err
    ended = runner(*flags, "--schedule", "step", "--warmup_epochs", "1")
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert "schedule (cosine then, step now), warmup_epochs (2 then, 1 now);" in ended.err
    assert runner(*flags).status == 0
    left, expected = outcome(root), outcome(whole)
    assert left["metrics.csv"] == expected["metrics.csv"]
    assert [name for name in expected if left[name] != expected[name]] == []


def test_a_finished_cosine_goes_on_only_if_it_has_not_begun_to_fall(runner, root):
    """In its first epoch the rate is the full one, whatever its length; with two epochs it is not."""
    flags = ("--save_folder", root.name, "--resume")
    assert runner(f"{TEACHER} --epochs 1", *flags).status == 0
    assert runner(f"{TEACHER} --epochs 2", *flags).status == 0
    assert [float(rate) for rate in column(root, "learning_rate")] == pytest.approx([0.05, 0.025])
    ended = runner(f"{TEACHER} --epochs 3", *flags)
    assert ended.status == 2 and ended.err.count("\n") == 1 and ended.out == ""
    assert "cannot go on to 3: with that length the learning rate is another in epoch 2" in ended.err


@pytest.mark.parametrize("kind", ["stopped", "killed"])
def test_a_run_with_adamw_goes_on_to_the_same_bits(kind, runner, root):
    """Stopped within an epoch, or killed while it writes; with another optimizer it does not go on."""
    whole = runner.folder / "whole_adamw"
    if not whole.exists():
        assert runner(ADAMW, "--save_folder", whole.name).status == 0
    flags = (ADAMW, "--save_folder", root.name, "--resume")
    if kind == "stopped":
        stop = (STEPS + 2, int(signal.SIGTERM))
        ended = runner(*flags, hook=running.signalled_at, hook_arguments=stop)
        assert "after epoch 1 and 2 steps" in ended.err
        ended = runner(*flags, "--optimizer", "sgd")
        assert ended.status == 2 and "other settings: optimizer (adamw then, sgd now);" in ended.err
    else:
        ended = runner(*flags, hook=running.die_at, hook_arguments=(40, 1))
        assert ended.status == -signal.SIGKILL
    ended = runner(*flags)
    assert (ended.status, ended.err) == (0, "")
    left, expected = outcome(root), outcome(whole)
    assert left["metrics.csv"] == expected["metrics.csv"]
    assert [name for name in expected if left[name] != expected[name]] == []
    rates = dict(zip(column(root, "student"), column(root, "learning_rate"), strict=True))
    assert {name: float(rate) for name, rate in rates.items()} == {"kd": 0.001, "crd": 0.001, "ensemble": 0.1}


def test_balanced_classes_are_another_run(runner, root):
    """A network alone too learns them; what was begun without does not go on with them."""
    flags = (TEACHER, "--epochs", "1", "--save_folder")
    plain = root.with_name(f"{root.name}_plain")
    assert runner(*flags, plain.name).status == 0
    assert runner(*flags, root.name, "--class_weights", "balanced").status == 0
    first, weighted = (float(column(place, "loss_ce")[0]) for place in (plain, root))
    assert first != weighted and first == pytest.approx(weighted, rel=0.2)
    ended = runner(*flags, plain.name, "--class_weights", "balanced", "--resume")
    assert ended.status == 2 and "other settings: class_weights (none then, balanced now);" in ended.err
