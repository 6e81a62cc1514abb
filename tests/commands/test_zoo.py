"""Every method of the zoo through train_student.py: on each family of networks, and stopped and resumed."""

import signal
from pathlib import Path

import pytest
import torch

from distiller_zoo import distiller_dict
from helper.checkpoint import write_checkpoint
from models import build_network
from tests.commands import running
from tests.commands.running import outcome, run_folder

METHODS = [name for name in distiller_dict if name not in distiller_dict.aliases()]
SHORT = "--init_epochs 1 --clip_grad 5 --lr_decay_epochs 2"
SMALL = {"crd": "--nce_k 8 --feat_dim 16"}
# one of each kind of state: a trained temperature, views, a first stage, networks of their own, wide layers
QUICK = ("ctkd", "mlkd", "ft", "simkd", "norm", "reviewkd")
FAMILIES = ("resnet8x4", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2")
OTHER_TEACHERS = ("resnet8", "resnet8x4", "wrn_16_1", "vgg8")
CHANNELS = "(stem|stages|maps|channels)"
# what a method refuses with a teacher of another family than resnet8, and what it says
REFUSED: dict[str, dict[str, str]] = {}


def slow_unless_quick(names: tuple[str, ...]) -> list:
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("optimizer", ["sgd", "dot"])
@pytest.mark.parametrize("name", slow_unless_quick(tuple(METHODS)))
def test_a_run_that_is_stopped_and_resumed_ends_the_same(name, optimizer, runner, root):
    """Stopped in the middle of its first epoch and of its second: networks, states, rows, bit for bit."""
    if optimizer == "dot" and name not in ("ctkd", "ft"):
        pytest.skip("DOT's state is the same for every method")
    command = f"train_student --model_s resnet8 --distill {name} {SHORT} {SMALL.get(name, '')}"
    command += f" --optimizer {optimizer}"
    ended = runner(command, "--save_folder", f"{root}_whole")
    assert (ended.status, ended.err) == (0, "")
    stop = {"hook": running.signalled_at, "hook_arguments": (3, signal.SIGTERM)}
    assert runner(command, "--save_folder", str(root), **stop).status == 128 + signal.SIGTERM
    again = runner(command, "--save_folder", str(root), "--resume", **stop)
    assert again.status == 128 + signal.SIGTERM
    assert runner(command, "--save_folder", str(root), "--resume").status == 0
    whole, resumed = outcome(Path(f"{root}_whole")), outcome(root)
    assert [part for part in whole if whole[part] != resumed.get(part)] == []


@pytest.fixture(scope="module")
def teachers(runner) -> dict[str, str]:
    """Untrained teachers of several families, by network."""
    files = {}
    for name in OTHER_TEACHERS:
        torch.manual_seed(1)
        content = {"model": build_network(name, 10).state_dict(), "arch": name}
        files[name] = f"{name}.pth"
        write_checkpoint(content, runner.folder / files[name])
    return files


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_each_family_is_taught_or_refused_in_one_line(name, family, runner, teachers, root):
    """Nothing is written for a pair of networks that a method cannot serve."""
    command = f"train_student --model_s {family} --distill {name} {SHORT} {SMALL.get(name, '')}"
    few = ("--epochs", "1", "--train_size", "32", "--save_folder", str(root))
    ended = runner(command, "--path_t", teachers["resnet8"], *few)
    refusal = REFUSED.get(name, {}).get(family)
    if refusal is None:
        assert (ended.status, ended.err) == (0, "")
        assert (run_folder(root) / f"{name}_last.pth").exists()
    else:
        assert ended.status == 2 and ended.err.count("\n") == 1 and refusal in ended.err, ended.err
        assert not root.exists()
