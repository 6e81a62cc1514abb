"""Finished runs are found once each, with their settings, whichever version wrote them."""

import json

import pytest

from helper.errors import UserError
from reporting.runs import find_runs, frame, read_run
from tests.reporting.made_up_runs import Runs


@pytest.fixture(params=["args.json of now", "args.json of version 0.1"])
def runs(tmp_path, request) -> Runs:
    return Runs(tmp_path / "save", old=request.param.endswith("0.1"))


def test_the_frame_has_a_row_per_student_and_run_and_one_per_ensemble(runs):
    students = {("kd", "kd"): 70.0, ("crd", "crd"): 71.0, ("new", "new"): 72.0}
    runs.add(students, 1, "resnet32x4", online="wavg", labels={"crd": "My CRD"})
    runs.add({("kd", "kd"): 80.0, ("kd_2", "kd"): 81.0}, 2, "resnet32x4", model="vgg8")
    runs.alone(60.0)
    rows = frame(find_runs([runs.folder]))
    assert list(rows.row) == [
        "wavg (KD, My CRD, new): KD student",
        "wavg (KD, My CRD, new): My CRD student",
        "wavg (KD, My CRD, new): new student",
        "wavg (KD, My CRD, new): ensemble",
        "KD",
        "KD",
        "student alone",
    ]
    assert list(rows["last"]) == [70, 71, 72, 78, 80, 81, 60]
    assert list(rows.name) == ["kd", "crd", "new", "ensemble", "kd", "kd_2", "teacher"]
    assert list(rows.student) == ["resnet8x4"] * 4 + ["vgg8"] * 2 + ["resnet8x4"]


def test_a_group_of_several_networks_says_whose_each_row_is(runs):
    folder = runs.group(70, 71, 72)
    content = json.loads((folder / "results.json").read_text())
    content["students"][1]["model"] = "vgg8"
    (folder / "results.json").write_text(json.dumps(content))
    rows = frame(find_runs([runs.folder]))
    assert list(rows.row) == ["KD resnet8x4", "CRD vgg8", "SemCKD resnet8x4"]
    assert set(rows.student) == {"resnet8x4 + vgg8"}


def test_copies_count_once_and_other_files_are_left_alone(runs, tmp_path):
    folder = runs.group(70, 71, 72, online="wavg")
    copy = tmp_path / "save" / "kept" / "wavg_seed1.json"
    copy.parent.mkdir()
    copy.write_text((folder / "results.json").read_text())
    (tmp_path / "save" / "other.json").write_text('{"speed": 3}')
    (run,) = find_runs([tmp_path])
    assert run.path == folder / "results.json" and run.settings  # not the copy, which has none


def test_settings_are_found_inside_or_beside_a_renamed_file(runs, tmp_path):
    folder = runs.group(70, 71, 72, train_size=500)
    results = json.loads((folder / "results.json").read_text())
    inside, beside = tmp_path / "a.json", tmp_path / "b.json"
    inside.write_text(json.dumps(results | json.loads((folder / "args.json").read_text())))
    beside.write_text(json.dumps(results))
    beside.with_suffix(".args.json").write_text((folder / "args.json").read_text())
    found = [read_run(path) for path in (folder / "results.json", inside, beside)]
    assert [run.table["train_size"] for run in found] == [500, 500, 500]


def test_what_was_changed_is_read_whichever_version_wrote_it(runs):
    runs.group(70, 71, 72, nce_k=1024, train_size=500, online_start=3, online="wavg")
    (run,) = find_runs([runs.folder])
    assert run.variant(["crd"]) == (("nce_k", "1024"),) and run.variant(["kd"]) == ()


def test_a_flag_of_an_ensemble_says_nothing_about_offline_learning(runs):
    runs.group(70, 71, 72, pcl_T=5.0, online="pcl")
    runs.group(70, 71, 72, pcl_T=5.0)
    assert {(run.online, run.variant(["kd", run.online])) for run in find_runs([runs.folder])} == {
        ("pcl", (("pcl_T", "5.0"),)),
        ("", ()),
    }


@pytest.mark.parametrize("damage", ["{", '{"script": "x"}', '{"script": "x", "students": []}', "[]", '"x"'])
def test_a_damaged_file_is_named_and_the_others_are_read(runs, damage):
    folder = runs.group(70, 71, 72)
    broken = runs.folder / "broken" / "results.json"
    broken.parent.mkdir()
    broken.write_text(damage)
    said = []
    assert [run.path for run in find_runs([runs.folder], said.append)] == [folder / "results.json"]
    assert len(said) == 1 and str(broken) in said[0]


@pytest.mark.parametrize("damage", ["{", "[]", '{"settings": 3}', '{"settings": {"recipe": 3}}', '"x"'])
def test_damaged_settings_are_named_and_the_others_are_read(runs, damage):
    runs.group(70, 71, 72)
    broken = runs.group(73, 74, 75) / "args.json"
    broken.write_text(damage)
    said = []
    assert len(find_runs([runs.folder], said.append)) == 1
    assert len(set(said)) == 1 and str(broken) in said[0]


@pytest.mark.parametrize("value", ["NaN", "101", "null", '"high"'])
def test_impossible_accuracies_are_left_out(runs, value):
    path = runs.group(70, 71.25, 72) / "results.json"
    path.write_text(path.read_text().replace("71.25", value))
    said = []
    with pytest.raises(UserError, match="no finished run"):
        find_runs([runs.folder], said.append)
    assert str(path) in said[0]
