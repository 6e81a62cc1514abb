"""What the report reads and writes: damaged files, bad input, and files that are left alone."""

import sys

import pytest

from helper.errors import UserError, run_script
from reporting import runs as report_runs
from reporting.write import write_report
from tests.made_up_runs import Runs


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "save")


@pytest.mark.parametrize("damage", ["{", '{"script": "x"}', '{"script": "x", "students": []}', "[]", '"x"'])
def test_a_damaged_file_is_named_and_the_others_are_read(runs, damage):
    folder = runs.group(70, 71, 72)
    broken = runs.folder / "broken" / "results.json"
    broken.parent.mkdir()
    broken.write_text(damage)
    said = []
    assert [run.path for run in report_runs.find_runs([runs.folder], said.append)] == [
        folder / "results.json"
    ]
    assert len(said) == 1 and str(broken) in said[0]


@pytest.mark.parametrize("value", ["NaN", "101", "null", '"high"'])
def test_impossible_accuracies_are_left_out(runs, value):
    path = runs.group(70, 71.25, 72) / "results.json"
    path.write_text(path.read_text().replace("71.25", value))
    said = []
    with pytest.raises(UserError, match="no finished run"):
        report_runs.find_runs([runs.folder], said.append)
    assert str(path) in said[0]


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "no finished run (a results.json) below save"),
        (["elsewhere"], "elsewhere is no folder"),
        (["--curves", "save"], "cannot read save/metrics.csv"),
        (["--curves", "save", "--into", "x"], "leave FOLDER and --into out"),
        (["--students", "kd"], "give --curves RUN"),
        (["--output", "x"], "unrecognized arguments: --output"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, said, tmp_path, monkeypatch, capsys):
    import report as script  # the script in the root

    (tmp_path / "save").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py", *words])
    with pytest.raises(SystemExit) as ending:
        run_script(script.main)
    out, error = capsys.readouterr()
    assert ending.value.code == 2 and not out
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error


def test_a_readme_without_marks_is_left_alone(runs, tmp_path):
    runs.group(70, 71, 72)
    readme = tmp_path / "README.md"
    readme.write_text("no marks")
    with pytest.raises(UserError, match="must have one line"):
        write_report([runs.folder], tmp_path / "out", readme)
    assert readme.read_text() == "no marks" and not (tmp_path / "out").exists()


def test_by_default_it_reads_save_and_results_and_writes_below_save(runs, tmp_path, monkeypatch, capsys):
    import report as script

    runs.group(70, 71, 72)
    Runs(tmp_path / "results").group(70, 71, 72, seed=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py"])
    script.main()
    assert capsys.readouterr().out.split() == [f"save/report/report.{kind}" for kind in ("md", "csv", "png")]
    assert "from 2 finished runs" in (tmp_path / "save/report/report.md").read_text()
