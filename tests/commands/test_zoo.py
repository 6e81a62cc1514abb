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
# of each kind of state one: two momenta and a temperature, views, a first stage, a network of its own
QUICK = (("ctkd", "dot"), ("mlkd", "sgd"), ("ft", "sgd"), ("simkd", "sgd"))
FAMILIES = ("resnet8x4", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2")
CHANNELS, STAGES = "needs the same channels", "needs as many stages in both networks"
OTHER_WIDTHS = ("resnet8x4", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2")
# the families that a method cannot serve with resnet8 as the teacher, and what it says
REFUSED = {
    "fsp": dict.fromkeys(OTHER_WIDTHS, CHANNELS),
    "kdsvd": dict.fromkeys(OTHER_WIDTHS, CHANNELS),
    "ab": dict.fromkeys(("vgg8", "MobileNetV2"), STAGES),
    "wkd": {"MobileNetV2": "cannot compare a map of 2 x 2 with the teacher's 8 x 8"},
}


RESUMED = [(name, "sgd") for name in METHODS] + [("ft", "dot"), ("ctkd", "dot")]


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow]) for case in RESUMED],
)
def test_a_run_that_is_stopped_and_resumed_ends_the_same(name, optimizer, runner, root):
    """Stopped in the middle of its first epoch and of its second: networks, states, rows, bit for bit."""
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
def teacher(runner):
    """The file of an untrained teacher, by the name of its network."""

    def file_of(name: str) -> str:
        path = runner.folder / f"{name}.pth"
        if not path.exists():
            torch.manual_seed(1)
            write_checkpoint({"model": build_network(name, 10).state_dict(), "arch": name}, path)
        return path.name

    return file_of


def taught(runner, name: str, teacher: str, student: str, root: Path) -> running.Ended:
    command = f"train_student --model_s {student} --distill {name} {SHORT} {SMALL.get(name, '')}"
    few = ("--epochs", "1", "--train_size", "32", "--save_folder", str(root))
    return runner(command, "--path_t", teacher, *few)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_each_family_is_taught_or_refused_in_one_line(name, family, runner, teacher, root):
    """Nothing is written for a pair of networks that a method cannot serve."""
    ended = taught(runner, name, teacher("resnet8"), family, root)
    refusal = REFUSED.get(name, {}).get(family)
    if refusal is None:
        assert (ended.status, ended.err) == (0, "")
        assert (run_folder(root) / f"{name}_last.pth").exists()
    else:
        assert ended.status == 2 and ended.err.count("\n") == 1 and refusal in ended.err, ended.err
        assert not root.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "family"), [(name, family) for name in REFUSED for family in REFUSED[name]])
def test_what_is_refused_with_another_family_is_taught_by_its_own(name, family, runner, teacher, root):
    ended = taught(runner, name, teacher(family), family, root)
    assert (ended.status, ended.err) == (0, "")
