"""What the report says is missing, and the commands that make it."""

from pathlib import Path

import pytest

from reporting.gaps import commands, gaps
from reporting.published import EXPERIMENTS, MEASURED_ORDER, by_number
from tests.reporting.made_up_runs import Runs

ROOT = Path(__file__).resolve().parent.parent.parent
# of the columns of the specification: teacher, student alone, KD, SemCKD, CRD, ModReduce
SUMS = [1144.42, 1059.56, 1102.98, 1114.21, 1113.48, 1121.45]


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "save")


def test_published_numbers_are_those_of_the_specification():
    assert [e.number for e in EXPERIMENTS] == list(range(1, 16))
    assert sorted(MEASURED_ORDER) == list(range(1, 16)) and MEASURED_ORDER[:3] == (9, 5, 8)
    nine = by_number(9)
    assert nine[1:3] == ("resnet32x4", "resnet8x4") and nine.folder == "09_resnet32x4_resnet8x4"
    assert nine[3:] == (79.42, 73.09, 74.32, 75.55, 74.97, 75.78)
    sums = [sum(values) for values in list(zip(*EXPERIMENTS, strict=True))[3:]]
    assert sums == pytest.approx(SUMS)


def test_every_experiment_has_the_script_that_the_report_names():
    assert all((ROOT / "scripts/experiments" / f"{e.folder}.sh").exists() for e in EXPERIMENTS)


def test_networks_that_are_trained_already_are_no_gap(runs):
    runs.alone(79.0, model="resnet32x4")
    runs.alone(70.0, model="vgg8")
    found = set(zip(*gaps(runs.rows())[["experiment", "kind"]].T.values, strict=True))
    assert (9, "teacher") not in found and (12, "alone") not in found and (10, "alone") not in found
    assert {(10, "teacher"), (9, "alone"), (12, "best")} <= found


def test_a_network_with_other_settings_leaves_its_gap(runs):
    runs.alone(79.0, model="resnet32x4", weight_decay=0.0)
    runs.alone(70.0, model="vgg8", train_size=5000)
    found = gaps(runs.rows())
    assert set(found.experiment[found.kind == "alone"]) == set(range(1, 16))
    assert set(found.experiment[found.kind == "teacher"]) == set(range(1, 16))


def test_a_missing_control_names_the_seeds_to_run(runs):
    runs.group(70, 71, 72, seed=2)
    found = gaps(runs.rows())
    control = [command.split(".sh ")[1] for command in found.command[found.kind == "control"]]
    assert control == ["--seed 1 --trial 1", "--seed 3 --trial 3"]


def test_the_gap_of_a_control_is_filled_by_its_own_method(runs):
    runs.group(74.0, 74.5, 75.0)
    runs.add({("mine", "mine"): 89.5}, 2, "resnet32x4")
    found = gaps(runs.rows())
    assert [command.partition(".sh ")[2] for command in found.command[found.kind == "control"]] == [
        "--distill mine --seed 1 --trial 1",
        "--distill mine --seed 3 --trial 3",
    ]


def test_what_was_not_run_is_a_line_with_its_command(runs):
    runs.group(20, 20, 20, epochs=10)
    assert commands(runs.rows()) == ["- all fifteen experiments: `sh scripts/reproduce.sh`"]
    runs.group(70, 71, 72)
    runs.alone(60)
    script = "sh scripts/experiments/09_resnet32x4_resnet8x4.sh"
    assert commands(runs.rows()) == [
        "- experiments 1-8,10-15: `sh scripts/reproduce.sh --experiments 1-8,10-15`",
        f"- experiment 9, ModReduce wavg: `{script} --seed 1 --trial 1`",
        f"- experiment 9, control: `ONLINE=none {script} --seed 2 --trial 2`",
        f"- experiment 9, control: `ONLINE=none {script} --seed 3 --trial 3`",
    ]


def test_nothing_is_missing_of_a_whole_experiment(runs):
    runs.nine()
    assert 9 not in set(gaps(runs.rows()).experiment)
