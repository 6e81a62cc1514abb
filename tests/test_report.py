"""The report: which runs stand beside each other, and that each of its numbers is the one it says."""

import csv
import json
import statistics
from pathlib import Path

import pytest

from reporting import fifteen as report_fifteen
from reporting import runs as report_runs
from reporting import tables as report_table
from reporting.fifteen import CONTROL
from reporting.published import EXPERIMENTS, MEASURED_ORDER, by_number
from reporting.rows import key_of
from reporting.write import BEGIN, END, write_report
from tests.made_up_runs import Runs

ROOT = Path(__file__).resolve().parent.parent
# of the columns of the specification: teacher, student alone, KD, SemCKD, CRD, ModReduce
SUMS = [1144.42, 1059.56, 1102.98, 1114.21, 1113.48, 1121.45]


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "save")


def experiment_nine(runs: Runs) -> None:
    """Three seeds of everything of experiment 9."""
    for seed, shift in ((1, 0.0), (2, 0.3), (3, -0.3)):
        runs.alone(72.0 + shift, seed)
        runs.group(74.0 + shift, 74.5 - shift, 75.0 + shift, seed)
        runs.group(75.0, 75.5 + shift, 76.0 - shift, seed, online="wavg")


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


def test_mean_deviation_difference_best_of_three_and_control(runs):
    experiment_nine(runs)
    (group,) = [group for group in runs.groups() if group.key.teacher]
    semckd = group.method("semckd")
    assert semckd.mean("last") == pytest.approx(75.0) and semckd.mean("best") == pytest.approx(75.5)
    assert semckd.deviation("last") == pytest.approx(0.3) and len(semckd.samples) == 3
    assert semckd.published == 75.55
    ours = group.pick("best", "wavg")
    assert ours.values("last") == pytest.approx([76.0, 75.8, 76.3])
    assert ours.published == 75.78 and ours.students == 3
    control = report_fifteen.find(group, CONTROL)
    assert control.what == "semckd" and control.mean("last") == pytest.approx(75.3)
    assert group.pick("ensemble", "wavg").mean("best") == 78.5
    assert group.pick("alone").mean("last") == pytest.approx(72.0)
    verdicts = report_fifteen.verdicts([group, group])
    assert (
        verdicts[0] == "above the best single method: 2 of 2" and "published ModReduce: 2 of 2" in verdicts[2]
    )


def test_a_method_that_the_code_does_not_name_counts_in_verdict_control_and_gaps(runs):
    for seed in (1, 2, 3):
        runs.group(74.0, 74.5, 75.0, seed)
        runs.group(75.0, 75.5, 76.0, seed, online="wavg")
        runs.add({("mine", "mine"): 89.5}, seed, "resnet32x4", labels={"mine": "My Own"})
    (group,) = runs.groups()
    assert report_fifteen.verdicts([group])[:2] == [
        "above the best single method: no",
        "above the control: no",
    ]
    control = report_fifteen.find(group, CONTROL)
    assert control.name == "control: best of 3 runs of My Own" and control.mean("best") == 90
    assert report_fifteen.methods_of([group]) == {
        "kd": "KD",
        "crd": "CRD",
        "semckd": "SemCKD",
        "mine": "My Own",
    }
    assert "My Own" in [block.name for block in report_fifteen.measures([group])]
    runs.alone(72.0)
    (group,) = [group for group in runs.groups() if group.key.teacher]
    assert "mine" in [c.method for c in report_fifteen.comparisons([group], "wavg")]


def test_the_gap_of_a_control_is_filled_by_its_own_method(runs):
    runs.group(74.0, 74.5, 75.0)
    runs.add({("mine", "mine"): 89.5}, 2, "resnet32x4")
    commands = [gap.command for gap in report_fifteen.gaps(runs.groups()) if gap.kind == "control"]
    assert [command.partition(".sh ")[2] for command in commands] == [
        "--distill mine --seed 1 --trial 1",
        "--distill mine --seed 3 --trial 3",
    ]


def test_best_of_n_is_the_mean_over_all_choices():
    assert report_table.best_of_n([1, 5, 3], 3) == 5
    assert report_table.best_of_n([1, 2, 3, 4], 3) == pytest.approx((3 + 4 + 4 + 4) / 4)
    assert report_table.best_of_n([1, 2, 4], 1) == pytest.approx(7 / 3)


def test_ari_is_the_mean_of_the_relative_improvements(runs):
    runs.alone(70.0)
    runs.group(72.0, 73.0, 74.0)
    runs.group(72.0, 75.0, 74.0, online="wavg")
    runs.alone(60.0, model="vgg8")
    runs.group(64.0, 61.0, 62.0, model="vgg8")
    runs.group(65.0, 62.0, 63.0, online="wavg", model="vgg8")
    groups = [group for group in runs.groups() if group.key.teacher]
    found = {c.method: c for c in report_fifteen.comparisons(groups, "wavg")}
    assert found["kd"].ari == pytest.approx((100 * 3 / 2 + 100 * 1 / 4) / 2)
    assert found["crd"].ari == pytest.approx((100 * 2 / 3 + 100 * 4 / 1) / 2)
    nine, twelve = by_number(9), by_number(12)
    expected = [(e.modreduce - e.kd) / (e.kd - e.alone) for e in (nine, twelve)]
    assert found["kd"].published == pytest.approx(100 * statistics.fmean(expected))
    assert found["kd"].experiments == 2 and found["kd"].not_above == 0
    # a method that is not above the student alone: counted, and no division by zero
    runs.group(60.0, 59.0, 62.0, seed=2, model="vgg8", teacher="vgg13")
    runs.group(65.0, 62.0, 63.0, online="wavg", model="vgg8", teacher="vgg13")
    last = report_fifteen.comparisons(runs.groups()[:3], "wavg")
    assert {c.method: (c.experiments, c.not_above) for c in last} == {
        "kd": (2, 1),
        "crd": (3, 1),
        "semckd": (3, 0),
    }


def test_other_lengths_slices_and_pairs_never_meet_the_published_numbers(runs):
    runs.group(70, 70, 70)
    runs.group(20, 20, 20, epochs=10)
    runs.group(21, 21, 21, train_size=5000)
    runs.group(22, 22, 22, val_split=0.1)
    runs.group(23, 23, 23, batch_size=128)
    runs.group(24, 24, 24, dataset="digits")
    runs.group(25, 25, 25, teacher="vgg8")
    groups = runs.groups()
    assert len(groups) == 7
    assert [g.key.experiment and g.key.experiment.number for g in groups] == [9] + [None] * 6
    assert [row.published for g in groups[1:] for row in g.rows] == [None] * sum(
        len(g.rows) for g in groups[1:]
    )


def test_other_settings_are_other_lines_and_stay_out_of_the_fifteen(runs):
    runs.group(70, 71, 72, seed=1)
    runs.group(80, 81, 82, seed=2, nce_k=1024)
    runs.group(60, 61, 62, seed=3, learning_rate=0.1)
    (group,) = runs.groups()
    assert group.method("crd").values("last") == [71]
    assert {row.title for row in group.rows if row.what == "crd" and row.kind == "offline"} == {
        "CRD",
        "CRD [nce_k 1024]",
        "CRD [learning_rate 0.1]",
    }
    # CRD's number of negatives says nothing about KD
    assert group.method("kd").values("last") == [70, 80]


def test_settings_that_all_runs_share_are_told_once(runs):
    runs.group(20, 20, 20, epochs=10, nce_k=1024, precision="fp32")
    runs.group(20, 20, 20, epochs=10, nce_k=1024, precision="fp32", online="pcl")
    (group,) = runs.groups()
    assert group.settings == "nce_k 1024, precision fp32"
    assert not any(row.variant for row in group.rows)


def test_a_single_student_is_another_line_than_the_baseline_of_a_group(runs):
    runs.group(70, 71, 72)
    runs.add({("crd", "crd"): 75.0}, teacher="resnet32x4", script="train_student", alpha=0.0)
    runs.add({("kd", "kd"): 70.0, ("kd_2", "kd"): 71.0, ("kd_3", "kd"): 73.0}, seed=7, teacher="resnet32x4")
    (group,) = runs.groups()
    assert group.method("crd").values("last") == [71]
    assert group.pick("single", "crd") is None  # its weights are not those of ModReduce
    assert sorted(group.method("kd").values("last")) == [70, 70, 71, 73]
    assert any(row.title == "CRD (train_student.py) [alpha 0.0]" for row in group.rows)


def test_online_methods_groups_and_starts_are_told_apart(runs):
    runs.group(70, 71, 72, online="wavg")
    runs.group(70, 71, 73, online="wavg", online_start=220)
    runs.group(70, 71, 74, online="one")
    runs.add({("kd", "kd"): 80.0, ("kd_2", "kd"): 81.0}, teacher="resnet32x4", online="wavg")
    (group,) = runs.groups()
    assert group.onlines() == ["wavg", "one", "wavg (KD, KD 2)", "wavg from epoch 220"]
    assert group.pick("best", "wavg").values("last") == [72]
    assert group.pick("best", "wavg (KD, KD 2)").students == 2


def test_copies_count_once_and_a_seed_twice_is_told(runs, tmp_path):
    folder = runs.group(70, 71, 72, online="wavg")
    copy = tmp_path / "save" / "kept" / "wavg_seed1.json"
    copy.parent.mkdir()
    copy.write_text((folder / "results.json").read_text())
    (tmp_path / "save" / "other.json").write_text('{"speed": 3}')
    assert len(report_runs.find_runs([tmp_path])) == 1
    runs.group(75, 76, 77, online="wavg")
    said = []
    (group,) = runs.groups(said.append)
    assert group.pick("best", "wavg").values("last") == [72] and "seed 1 is there twice" in said[0]


def test_settings_are_found_inside_or_beside_a_renamed_file(runs, tmp_path):
    folder = runs.group(70, 71, 72, train_size=500)
    content = json.loads((folder / "results.json").read_text())
    inside, beside = tmp_path / "a.json", tmp_path / "b.json"
    inside.write_text(json.dumps(content | {"settings": {"train_size": 600}}))
    beside.write_text(json.dumps(content))
    beside.with_suffix(".args.json").write_text((folder / "args.json").read_text())
    sizes = [
        key_of(report_runs.read_run(path)).train_size for path in (folder / "results.json", inside, beside)
    ]
    assert sizes == [500, 600, 500]


def test_the_report_has_numbers_gaps_commands_and_a_picture(runs, tmp_path):
    experiment_nine(runs)
    runs.group(20.0, 21.0, 22.0, epochs=2, model="resnet8", teacher="resnet56", teacher_accuracy=60.0)
    into = tmp_path / "README.md"
    into.write_text(f"by hand\n{BEGIN}\nold\n{END}\nby hand too\n")
    written = write_report([tmp_path / "save"], tmp_path / "out", into)
    assert [path.name for path in written] == ["report.md", "report.csv", "report.png", "README.md"]
    text = written[0].read_text()
    table, block = {}, ""
    for line in text.split("## The fifteen experiments")[1].split("\n\n")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        block = cells[0].strip("*") or block
        table[block, cells[1]] = cells[2:]
    assert table["KD", "best"][8] == "74.50 ± 0.30" and table["KD", "best"][0] == "–"  # noqa: RUF001
    assert table["KD", "published"][8] == "74.32" and table["KD", "difference, best"][8] == "+0.18"
    assert table["KD", "difference, last"][8] == "-0.32" and table["KD", "runs"][8] == "3"
    assert table["student alone", "last"][8] == "72.00 ± 0.30"
    assert table["ModReduce wavg: best", "last"][8] == "76.03 ± 0.25"
    assert len(table["KD", "best"]) == 15

    commands = text.split("```sh")[1]
    assert "09_resnet32x4_resnet8x4" not in commands
    assert (
        "ONLINE=none sh scripts/experiments/03_resnet56_resnet20.sh --seed 1 --trial 1  # KD, SemCKD, CRD"
        in commands
    )
    assert "python train_teacher.py --model resnet56 " in commands
    assert "train_teacher.py --model resnet8x4" not in commands
    other = text.split("## Other runs")[1]
    assert "resnet56 → resnet8" in other and "2 epochs" in other and "published" not in other.split("##")[1]
    assert "1 of 3 runs" in other

    kept = into.read_text()
    assert kept.startswith("by hand\n") and kept.endswith("\nby hand too\n") and "old" not in kept
    assert "(out/report.png)" in kept

    with open(written[1]) as file:
        rows = list(csv.DictReader(file))
    (kd,) = [row for row in rows if (row["experiment"], row["kind"], row["what"]) == ("9", "offline", "kd")]
    assert (kd["best_mean"], kd["best_std"], kd["published"], kd["runs"]) == ("74.5", "0.3", "74.32", "3")
    assert kd["best_minus_published"] == "0.18" and kd["device"] == "Test GPU"
    assert all(row["command"] for row in rows if row["runs"] == "0" and row["epochs"] == "240")


def test_networks_that_are_trained_already_are_no_gap(runs):
    runs.alone(79.0, model="resnet32x4")
    runs.alone(70.0, model="vgg8")
    gaps = [(gap.experiment.number, gap.kind) for gap in report_fifteen.gaps(runs.groups())]
    assert (9, "teacher") not in gaps and (12, "alone") not in gaps and (10, "alone") not in gaps
    assert (10, "teacher") in gaps and (9, "alone") in gaps and (12, "best") in gaps


def test_a_missing_control_names_the_seeds_to_run(runs):
    runs.group(70, 71, 72, seed=2)
    control = [gap for gap in report_fifteen.gaps(runs.groups()) if gap.kind == "control"]
    assert [gap.command.split(".sh ")[1] for gap in control] == ["--seed 1 --trial 1", "--seed 3 --trial 3"]
