"""results.json and metrics.csv: what is written is what is read, and nothing else is taken for them."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from helper.errors import UserError
from helper.results import (
    METRICS,
    EnsembleScore,
    Results,
    StudentScore,
    TeacherScore,
    metrics_text,
    read_metrics,
    table,
    write_metrics,
)

# as version 0.1 wrote it
OLD = {
    "script": "train_modreduce",
    "dataset": "cifar100",
    "epochs": 6,
    "seed": 3,
    "seconds": 232.287,
    "images_per_second": 296.6,
    "device": "CPU: AMD EPYC, 1 threads",
    "versions": {"torch": "2.15.0"},
    "teacher": {"model": "resnet20", "test_acc": 64.72},
    "students": [
        {"name": "kd", "model": "resnet8", "distill": "kd", "test_acc_last": 21.8, "test_acc_best": 21.9},
        {"name": "hint_2", "model": "resnet8", "distill": "hint", "test_acc_last": 3, "test_acc_best": 4},
    ],
    "ensemble": {"online": "wavg", "weights": [0.25, 0.75], "test_acc_last": 23.4, "test_acc_best": 23.5},
}


@pytest.fixture
def results() -> Results:
    """A run with all that can be said of it."""
    student = StudentScore(
        name="mine_2", model="resnet8", distill="mine", test_acc_last=21.25, test_acc_best=22.5,
        label="My Own", parameters=83892, parameters_added=10, beta=0.8, multiplier=2.0, seconds=1.5,
        best_epoch=6, test_acc_top5_last=49.9, test_loss_last=3.25,
    )  # fmt: skip
    return Results(
        script="train_modreduce", dataset="cifar100", epochs=6, seed=3, seconds=2.5, device="CPU: x",
        students=(student,), teacher=TeacherScore("resnet20", 64.72), images_per_second=10.0,
        ensemble=EnsembleScore("one", 30.0, 31.0, (0.5, 0.5)), precision="fp32", data_sha256="ab",
        teacher_sha256="cd", versions={"torch": "2.15"},
    )  # fmt: skip


def test_what_is_written_is_what_is_read(results, tmp_path):
    results.write(tmp_path / "new" / "results.json")
    assert Results.read(tmp_path / "new" / "results.json") == results
    assert Results.of(json.loads((tmp_path / "new" / "results.json").read_text())) == results
    assert Results.of(results) is results


def test_the_keys_of_version_0_1_stand_in_what_is_written_and_its_files_are_read(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(OLD))
    found = Results.read(path)
    assert (found.teacher, found.precision) == (TeacherScore("resnet20", 64.72), None)
    assert [(s.method, s.label, s.title) for s in found.students] == [
        ("kd", "KD", "KD"),
        ("fitnet", "FitNet", "FitNet 2"),
    ]
    found.write(path)
    written = json.loads(path.read_text())
    assert written.keys() >= OLD.keys() and written["ensemble"] == OLD["ensemble"]
    for before, after in zip(OLD["students"], written["students"], strict=True):
        assert after.items() >= before.items()


def test_a_method_without_a_label_is_called_by_its_name_and_a_student_alone_by_its_own():
    mine = StudentScore("cat_kd_2", "resnet8", "cat_kd", 1.0, 2.0)
    assert (mine.label, mine.title) == ("cat_kd", "cat_kd 2")
    assert StudentScore("peer_3", "resnet8", None, 1.0, 2.0, label="Peer").title == "Peer 3"
    assert StudentScore("peer_3", "resnet8", None, 1.0, 2.0).title == "peer 3"
    alone = StudentScore("student", "resnet8", None, 1.0, 2.0)
    assert (alone.label, alone.title) == ("student", "student")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"students": []}, "no students"),
        ({"students": [OLD["students"][0] | {"test_acc_last": 101}]}, "101 is no accuracy"),
        ({"students": [OLD["students"][0] | {"test_acc_best": math.nan}]}, "nan is no accuracy"),
        ({"students": [OLD["students"][0] | {"test_acc_best": "21"}]}, "'21' is no accuracy"),
        ({"ensemble": OLD["ensemble"] | {"test_acc_last": None}}, "None is no accuracy"),
        ({"teacher": {"model": "resnet20", "test_acc": -1}}, "-1 is no accuracy"),
        ({"students": 3}, "TypeError"),
        ({"epochs": "six"}, "epochs 'six' is no number"),
    ],
)
def test_impossible_results_are_refused_in_one_line(change, said, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(OLD | change))
    with pytest.raises(UserError, match=said) as error:
        Results.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "{}", '{"students": [1]}'])
def test_damaged_files_are_refused_in_one_line(text, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"results\.json is"):
        Results.read(path)


def test_numbers_in_files_have_no_tail_and_lose_nothing(results, tmp_path):
    path = tmp_path / "results.json"
    student = replace(results.students[0], test_acc_last=6.959999999999999, test_loss_last=math.nan)
    replace(results, students=(student,)).write(path)
    assert '"test_acc_last": 6.96,' in path.read_text() and '"test_loss_last": null' in path.read_text()

    losses = [58.55857629042406, 3.21e-5, 7.123456789e-12, 123456.789]
    rows = [{"epoch": e, "student": "kd", "test_acc": 6.959999999999999, "train_loss": x}
            for e, x in enumerate(losses)]  # fmt: skip
    write_metrics(tmp_path / "metrics.csv", rows)
    assert ",6.96," in (tmp_path / "metrics.csv").read_text()
    found = read_metrics(tmp_path / "metrics.csv")
    assert [row["train_loss"] for row in found] == pytest.approx(losses, rel=1e-6, abs=0)
    assert [row["epoch"] for row in found] == [0, 1, 2, 3]
    assert found[0]["val_acc"] is None


def test_every_further_term_has_a_column_before_the_seconds():
    rows = [
        {"epoch": 1, "student": "dkd", "loss_tckd": 1.0, "loss_ce": 2.0, "seconds": 9.0},
        {"epoch": 1, "student": "at", "loss_nckd": 3.0, "loss_tckd": 4.0, "note": "x"},
    ]
    head, first, second = metrics_text(rows).splitlines()
    assert head.split(",") == [*METRICS[:-1], "loss_tckd", "loss_nckd", "seconds"]
    assert first.endswith(",1,,9") and second.endswith(",4,3,")
    assert metrics_text([]).strip().split(",") == METRICS


def test_the_table_says_what_its_accuracies_are_of(results):
    head, columns, teacher, student, ensemble = table(results).splitlines()
    assert head == "cifar100, test set, fp32 on CPU: x"
    assert columns.split() == ["network", "last", "epoch", "best", "epoch"]
    assert teacher.split() == ["teacher", "resnet20", "64.72", "%"]
    assert student.split() == ["mine_2", "resnet8", "21.25", "%", "22.50", "%"]
    assert ensemble.split() == ["ensemble", "one", "30.00", "%", "31.00", "%"]
    assert table(OLD).startswith("cifar100, test set, on CPU: AMD EPYC, 1 threads\n")
    long = replace(results.students[0], name="a_method_with_a_long_name", model="torchvision:resnet18")
    lines = table(replace(results, students=(long,))).splitlines()[1:]
    assert len({line.index("%") for line in lines[1:]}) == 1


def test_metrics_that_are_none_are_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,student,test_acc,val_acc\n1,kd,12.5,\n")
    assert read_metrics(path) == [{"epoch": 1, "student": "kd", "test_acc": 12.5, "val_acc": None}]
    path.write_text("epoch,student,test_acc\n1,kd,many\n")
    with pytest.raises(UserError, match="damaged"):
        read_metrics(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"no metrics\.csv"):
        read_metrics(path)
    with pytest.raises(UserError, match="cannot read"):
        read_metrics(tmp_path / "none.csv")


def test_reading_results_imports_no_heavy_library():
    code = (
        "import sys, helper.results; print({'torch', 'pandas', 'numpy', 'matplotlib'} & sys.modules.keys())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"
