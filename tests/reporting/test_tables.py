"""The tables of the report: which runs stand beside each other, and that each number is the one it says."""

import math
import statistics

import pytest

from reporting.markdown import detail
from reporting.published import by_number
from reporting.tables import best_of_n, common_settings, comparisons, onlines, single_methods, verdicts
from tests.reporting.made_up_runs import Runs, pick


@pytest.fixture(params=["args.json of now", "args.json of version 0.1"])
def runs(tmp_path, request) -> Runs:
    return Runs(tmp_path / "save", old=request.param.endswith("0.1"))


def test_mean_deviation_difference_best_of_three_and_control(runs):
    runs.nine()
    rows = runs.rows()
    rows = rows[rows.teacher != ""]
    assert set(rows.experiment) == {9} and rows.table.nunique() == 1
    semckd = pick(rows, "method", "semckd")
    assert semckd.last_mean == pytest.approx(75.0) and semckd.best_mean == pytest.approx(75.5)
    assert semckd.last_std == pytest.approx(0.3) and semckd.runs == 3
    assert semckd.published == 75.55 and semckd.device == "Test GPU"
    ours = pick(rows, "best", "wavg")
    assert ours.lasts == pytest.approx([76.0, 75.8, 76.3])
    assert ours.published == 75.78 and ours.group_size == 3
    control = pick(rows, "control")
    assert control.what == "semckd" and control.last_mean == pytest.approx(75.3)
    assert pick(rows, "ensemble", "wavg").best_mean == 78.5
    assert pick(rows, "alone").last_mean == pytest.approx(72.0)
    assert pick(rows, "teacher").last_mean == 79.0 and pick(rows, "teacher").published == 79.42
    assert verdicts(rows) == {
        "above the best single method": [True],
        "above the control": [True],
        "at or above the published ModReduce": [True],
    }


def test_a_method_that_the_code_does_not_name_counts_in_verdict_and_control(runs):
    for seed in (1, 2, 3):
        runs.group(74.0, 74.5, 75.0, seed)
        runs.group(75.0, 75.5, 76.0, seed, online="wavg")
        runs.add({("mine", "mine"): 89.5}, seed, "resnet32x4", labels={"mine": "My Own"})
    runs.alone(72.0)
    rows = runs.rows()
    rows = rows[rows.teacher != ""]
    found = verdicts(rows)
    assert found["above the best single method"] == [False] and found["above the control"] == [False]
    control = pick(rows, "control")
    assert control.row == "control: best of 3 runs of My Own" and control.best_mean == 90
    assert list(single_methods(rows).label) == ["KD", "CRD", "SemCKD", "My Own"]
    assert list(comparisons(rows, "wavg").label) == ["KD", "CRD", "SemCKD", "My Own"]


def test_best_of_n_is_the_mean_over_all_choices():
    assert best_of_n([1, 5, 3], 3) == 5
    assert best_of_n([1, 2, 3, 4], 3) == pytest.approx((3 + 4 + 4 + 4) / 4)
    assert best_of_n([1, 2, 4], 1) == pytest.approx(7 / 3)


def test_ari_is_the_mean_of_the_relative_improvements(runs):
    runs.alone(70.0)
    runs.group(72.0, 73.0, 74.0)
    runs.group(72.0, 75.0, 74.0, online="wavg")
    runs.alone(60.0, model="vgg8")
    runs.group(64.0, 61.0, 62.0, model="vgg8")
    runs.group(65.0, 62.0, 63.0, online="wavg", model="vgg8")
    found = comparisons(runs.rows(), "wavg").set_index("method")
    assert found.ari["kd"] == pytest.approx((100 * 3 / 2 + 100 * 1 / 4) / 2)
    assert found.ari["crd"] == pytest.approx((100 * 2 / 3 + 100 * 4 / 1) / 2)
    expected = [(e.modreduce - e.kd) / (e.kd - e.alone) for e in (by_number(9), by_number(12))]
    assert found.published["kd"] == pytest.approx(100 * statistics.fmean(expected))
    assert found.tables["kd"] == 2 and found.not_above["kd"] == 0
    # a method that is not above the student alone: counted, and no division by zero
    runs.group(60.0, 59.0, 62.0, seed=2, model="vgg8", teacher="vgg13")
    runs.group(65.0, 62.0, 63.0, online="wavg", model="vgg8", teacher="vgg13")
    found = comparisons(runs.rows(), "wavg")
    assert {row.method: (row.tables, row.not_above) for row in found.itertuples()} == {
        "kd": (2, 1),
        "crd": (3, 1),
        "semckd": (3, 0),
    }
    # beside a single method without a published number there is none to compare the mean with
    runs.add({("mine", "mine"): 71.0}, 1, "resnet32x4")
    assert math.isnan(comparisons(runs.rows(), "wavg").set_index("method").published["mine"])


def test_methods_of_other_papers_have_published_numbers_with_their_source(runs):
    """Only with the flags that the number is of, and only where there is one."""
    runs.add({("dkd", "dkd"): 76.0}, 1, "resnet32x4", script="train_student")
    runs.add({("kd", "kd"): 73.0}, 1, "resnet32x4", script="train_student", gamma=0.1, alpha=0.9)
    runs.add({("ofd", "ofd"): 75.0}, 1, "resnet32x4", script="train_student")
    rows = runs.rows()
    single = rows[rows.kind == "single"].set_index("what")
    assert (single.published["dkd"], single.source["dkd"]) == (76.32, "mdistiller")
    assert (single.published["kd"], single.source["kd"]) == (73.33, "RepDistiller")
    assert math.isnan(single.published["ofd"]) and single.source["ofd"] == ""
    told = detail(rows)
    assert "mdistiller (best epoch)" in told and "RepDistiller (last epoch)" in told


def test_other_lengths_slices_and_pairs_never_meet_the_published_numbers(runs):
    runs.group(70, 70, 70)
    runs.group(20, 20, 20, epochs=10)
    runs.group(21, 21, 21, train_size=5000)
    runs.group(22, 22, 22, val_split=0.1)
    runs.group(23, 23, 23, batch_size=128)
    runs.group(24, 24, 24, dataset="digits")
    runs.group(25, 25, 25, teacher="vgg8")
    tables = runs.rows().drop_duplicates("table")
    assert list(tables.experiment) == [9] + [0] * 6
    rows = runs.rows()
    assert rows.published[rows.experiment == 0].isna().all()


def test_data_sets_and_teachers_of_one_name_are_never_pooled(runs):
    """34.00 ± 29.70 was once the mean of a data set with 55 % and of another with 13 %."""
    runs.group(55, 55, 55, 1, dataset="npz", data_sha256="a" * 64, teacher_sha256="c" * 64)
    runs.group(13, 13, 13, 2, dataset="npz", data_sha256="b" * 64, teacher_sha256="c" * 64)
    runs.group(14, 14, 14, 3, dataset="npz", data_sha256="b" * 64, teacher_sha256="d" * 64)
    runs.alone(50, 1, dataset="npz", data_sha256="a" * 64)
    runs.alone(10, 2, dataset="npz", data_sha256="b" * 64)
    rows = runs.rows()
    kd = rows[(rows.what == "kd") & (rows.kind == "offline")]
    assert [(row.data_sha256[0], row.teacher_sha256[0], row.lasts) for row in kd.itertuples()] == [
        ("a", "c", [55]),
        ("b", "c", [13]),
        ("b", "d", [14]),
    ]
    alone = rows[(rows.kind == "alone") & (rows.teacher != "")]
    assert [(row.data_sha256[0], row.lasts) for row in alone.itertuples()] == [
        ("a", [50]),
        ("b", [10]),
        ("b", [10]),
    ]


def test_seeds_that_hold_out_other_images_are_still_one_table(runs):
    runs.group(70, 70, 70, 1, val_split=0.1, data_sha256="a" * 64)
    runs.group(71, 71, 71, 2, val_split=0.1, data_sha256="b" * 64)
    assert pick(runs.rows(), "method", "kd").lasts == [70, 71]


def test_other_settings_are_other_lines_and_stay_out_of_the_fifteen(runs):
    runs.group(70, 71, 72, seed=1)
    runs.group(80, 81, 82, seed=2, nce_k=1024)
    runs.group(60, 61, 62, seed=3, learning_rate=0.1)
    rows = runs.rows()
    assert pick(rows, "method", "crd").lasts == [71]
    crd = rows[(rows.what == "crd") & (rows.kind == "offline")]
    assert set(zip(crd.row, crd.variant, strict=True)) == {
        ("CRD", ""),
        ("CRD", "nce_k 1024"),
        ("CRD", "learning_rate 0.1"),
    }
    # CRD's number of negatives says nothing about KD
    assert pick(rows, "method", "kd").lasts == [70, 80]


def test_the_published_recipe_in_words_is_no_other_setting(runs):
    runs.group(70, 71, 72, seed=1)
    runs.group(80, 81, 82, seed=2, lr_decay_epochs=[150, 180, 210], learning_rate=0.05)
    runs.group(20, 20, 20, epochs=48, lr_decay_epochs=[30, 36, 42])
    rows = runs.rows()
    assert pick(rows, "method", "kd").lasts == [70, 80] and not any(rows.variant)
    assert common_settings(rows[rows.epochs == 48]) == []
    runs.group(60, 61, 62, seed=1, model="ShuffleV1", learning_rate=0.05)
    assert set(runs.rows().query("student == 'ShuffleV1'").changed) == {(), (("learning_rate", "0.05"),)}


def test_the_usual_rate_is_that_of_the_optimizer(runs):
    for rate in (0.001, 0.05):
        runs.alone(70, optimizer="adamw", schedule="cosine", learning_rate=rate)
    rates = {dict(changed).get("learning_rate") for changed in runs.rows().changed}
    assert rates == {None, "0.05"}


def test_settings_that_all_runs_share_are_told_once(runs):
    runs.group(20, 20, 20, epochs=10, nce_k=1024, clip_grad=5.0)
    runs.group(20, 20, 20, epochs=10, nce_k=1024, clip_grad=5.0, online="pcl")
    rows = runs.rows()
    assert common_settings(rows) == [("clip_grad", "5.0"), ("nce_k", "1024")]
    assert not any(rows.variant)
    runs.alone(10, epochs=10)
    rows = runs.rows().query("teacher != ''")
    assert common_settings(rows) == [("nce_k", "1024")]
    assert set(rows.variant[rows.kind == "offline"]) == {"clip_grad 5.0"}


def test_a_precision_is_no_setting_but_others_are_not_pooled_with_it(runs):
    runs.group(20, 20, 20, 1, precision="bf16")
    runs.group(21, 21, 21, 2, precision="bf16")
    rows = runs.rows()
    assert common_settings(rows) == [] and not any(rows.variant) and set(rows.precision) == {"", "bf16"}
    assert pick(rows, "method", "kd").lasts == [20, 21]
    runs.group(23, 23, 23, 3, precision="fp32")
    rows = runs.rows().query("kind == 'offline' and what == 'kd'")
    assert list(zip(rows.variant, rows.lasts, strict=True)) == [("bf16", [20, 21]), ("fp32", [23])]


def test_values_per_student_are_those_of_the_students_own_line(runs):
    runs.group(70, 71, 72, beta=[0.0, 0.8, 400.0], multiplier=[2.0])
    rows = runs.rows().query("kind == 'offline'").set_index("what")
    assert rows.changed["crd"] == (("beta", "0.8"), ("multiplier", "2.0"))
    assert rows.changed["semckd"] == (("beta", "400.0"), ("multiplier", "2.0"))


def test_a_single_student_is_another_line_than_the_baseline_of_a_group(runs):
    runs.group(70, 71, 72)
    runs.add({("crd", "crd"): 75.0}, teacher="resnet32x4", script="train_student", alpha=0.0)
    runs.add({("kd", "kd"): 70.0, ("kd_2", "kd"): 71.0, ("kd_3", "kd"): 73.0}, seed=7, teacher="resnet32x4")
    rows = runs.rows()
    assert pick(rows, "method", "crd").lasts == [71]
    assert pick(rows, "single", "crd") is None  # its weights are not those of ModReduce
    assert sorted(pick(rows, "method", "kd").lasts) == [70, 70, 71, 73]
    (single,) = rows[rows.kind == "single"].itertuples()
    assert (single.row, single.variant) == ("CRD (train_student.py)", "alpha 0.0")


def test_a_single_student_stands_in_where_there_is_no_group(runs):
    runs.add({("crd", "crd"): 75.0}, teacher="resnet32x4", script="train_student")
    assert pick(runs.rows(), "method", "crd").kind == "single"


def test_online_methods_groups_and_starts_are_told_apart(runs):
    runs.group(70, 71, 72, online="wavg")
    runs.group(70, 71, 73, online="wavg", online_start=220)
    runs.group(70, 71, 74, online="one")
    runs.add({("kd", "kd"): 80.0, ("kd_2", "kd"): 81.0}, teacher="resnet32x4", online="wavg")
    rows = runs.rows()
    assert onlines(rows) == ["wavg", "one", "wavg (KD, KD 2)", "wavg from epoch 220"]
    assert pick(rows, "best", "wavg").lasts == [72]
    assert pick(rows, "best", "wavg (KD, KD 2)").group_size == 2


def test_peers_without_a_teacher_stand_beside_their_network_alone(runs):
    runs.add({("peer", None): 70.0, ("peer_2", None): 72.0}, online="dml", epochs=10)
    runs.alone(69.0, epochs=10)
    rows = runs.rows()
    assert list(rows.row) == [
        "student alone",
        "dml (peer, peer 2): peer student",
        "dml (peer, peer 2): peer 2 student",
        "dml (peer, peer 2): ensemble",
        "ModReduce dml (peer, peer 2): best of 2",
    ]
    assert list(rows["last_mean"]) == [69, 70, 72, 78, 72] and rows.compared.all()


def test_a_seed_twice_is_told_and_counts_once(runs):
    runs.group(70, 71, 72, online="wavg")
    runs.group(75, 76, 77, online="wavg")
    said = []
    rows = runs.rows(said.append)
    assert pick(rows, "best", "wavg").lasts == [72]
    assert len(said) == 1 and "seed 1 is there twice" in said[0] and "run_2" in said[0]
