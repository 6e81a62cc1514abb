"""What the report reads and writes: its text, its CSV, bad input, and files that are left alone."""

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helper.errors import UserError, run_script
from reporting.write import BEGIN, END, write_report
from tests.reporting.made_up_runs import Runs

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "save")


def table_below(text: str, title: str) -> dict[tuple[str, str], list[str]]:
    """The first Markdown table below a title: cells by the first two of their line, the first carried on."""
    found, block = {}, ""
    lines = text.split(title)[1].split("\n|", 1)[1].split("\n\n")[0]
    for line in filter(lambda line: not line.startswith("|:"), lines.splitlines()):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        block = cells[0].strip("*") or block
        found[block, cells[1]] = cells[2:]
    return found


def test_the_report_has_numbers_gaps_commands_and_a_picture(runs, tmp_path):
    runs.nine()
    runs.group(20.0, 21.0, 22.0, epochs=2, model="resnet8", teacher="resnet56", teacher_accuracy=60.0)
    into = tmp_path / "README.md"
    into.write_text(f"by hand\n{BEGIN}\nold\n{END}\nby hand too\n")
    written = write_report([tmp_path / "save"], tmp_path / "out", into)
    assert [path.name for path in written] == ["report.md", "report.csv", "report.png", "README.md"]
    text = written[0].read_text()
    table = table_below(text, "## The fifteen experiments")
    assert table["", ""] == ["9"] and table["", "student"] == ["resnet8x4"]
    assert table["teacher", "last"] == ["79.00"] and table["teacher", "published"] == ["79.42"]
    assert table["KD", "best"] == ["74.50 ± 0.30"] and table["KD", "last"] == ["74.00 ± 0.30"]
    assert table["KD", "published"] == ["74.32"] and table["KD", "difference, best"] == ["+0.18"]
    assert table["KD", "difference, last"] == ["-0.32"] and table["KD", "runs"] == ["3"]
    assert table["student alone", "last"] == ["72.00 ± 0.30"]
    assert table["ModReduce wavg: best", "last"] == ["76.03 ± 0.25"]
    assert table["ModReduce wavg: best", "time of a run"] == ["2 min"]
    assert table["control: best of N runs of the best single method", "last"] == ["75.30"]
    assert "above the best single method: yes; above the control: yes" in text

    missing = text.split("## Not run yet")[1]
    assert "`sh scripts/reproduce.sh --experiments 1-8,10-15`" in missing and "experiment 9" not in missing
    other = text.split("## Other runs")[1].split("##")[1:]
    assert "resnet56 → resnet8" in other[0] and "2 epochs" in other[0] and "published" not in other[0]
    assert "| 1 of 3 |" in other[0]

    kept = into.read_text()
    assert kept.startswith("by hand\n") and kept.endswith("\nby hand too\n") and "old" not in kept
    assert "(out/report.png)" in kept

    with open(written[1]) as file:
        rows = list(csv.DictReader(file))
    (kd,) = [row for row in rows if (row["experiment"], row["kind"], row["what"]) == ("9", "offline", "kd")]
    assert (kd["best_mean"], kd["best_std"], kd["published"], kd["runs"]) == ("74.5", "0.3", "74.32", "3")
    assert kd["best_minus_published"] == "0.18" and kd["device"] == "Test GPU" and kd["train_size"] == ""
    gaps = [row for row in rows if row["runs"] == "0"]
    assert len(gaps) > 50 and all(row["command"] and row["teacher"] for row in gaps)
    assert any("ONLINE=none sh scripts/experiments/03_resnet56_resnet20.sh" in row["command"] for row in gaps)


def test_without_any_of_the_fifteen_the_report_has_no_empty_columns(runs, tmp_path):
    runs.group(20, 21, 22, epochs=10)
    text = write_report([runs.folder], tmp_path / "out")[0].read_text()
    assert (
        "The fifteen experiments" not in text
        and "- all fifteen experiments: `sh scripts/reproduce.sh`" in text
    )


def test_tables_say_which_data_and_teacher_they_are_of_and_in_which_precision(runs, tmp_path):
    runs.group(70, 71, 72, data_sha256="ab" * 32, teacher_sha256="cd" * 32, precision="fp32")
    runs.group(60, 61, 62, data_sha256="ab" * 32, teacher_sha256="ef" * 32, precision="fp32")
    text = write_report([runs.folder], tmp_path / "out")[0].read_text()
    assert "SHA-256: data abababab, teacher cdcdcdcd. Precision: fp32." in text
    assert "SHA-256: data abababab, teacher efefefef. Precision: fp32." in text
    table = table_below(text, "## The fifteen experiments")
    assert table["", ""] == ["9 (cdcdcdcd)", "9 (efefefef)"] and table["KD", "last"] == ["70.00", "60.00"]


def test_peers_without_a_teacher_have_a_table(runs, tmp_path):
    runs.add({("peer", None): 70.0, ("peer_2", None): 72.0}, online="dml", epochs=10)
    runs.alone(69.0, epochs=10)
    text = write_report([runs.folder], tmp_path / "out")[0].read_text()
    assert "### resnet8x4 without a teacher" in text and "+3.00" in text.split("###")[1]
    assert "## Networks alone" in text


def test_runs_without_settings_are_said_to_be(runs, tmp_path, capsys):
    (runs.group(70, 71, 72) / "args.json").unlink()
    text = write_report([runs.folder], tmp_path / "out")[0].read_text()
    said = "1 of 1 runs have no args.json: they are taken as the published recipe"
    assert said in text and f"warning: {said}\n" in capsys.readouterr().err


def test_the_committed_numbers_are_what_the_committed_runs_give(tmp_path):
    write_report([ROOT / "results/cpu"], tmp_path)
    committed, found = (
        pd.read_csv(folder / "report.csv").set_index(["teacher", "kind", "row", "variant"])
        for folder in (ROOT / "results/cpu", tmp_path)
    )
    numbers = ["runs", "last_mean", "last_std", "best_mean", "best_std"]
    pd.testing.assert_frame_equal(found[numbers], committed[numbers])
    rkd = found.xs(("resnet20", "offline", "RKD"), level=(0, 1, 2)).iloc[0]
    assert list(rkd[numbers]) == [3, 18.09, 0.2946, 18.1567, 0.4051]  # as calculated by hand


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


def test_help_needs_neither_pandas_nor_matplotlib():
    code = "import sys, report; report.parser().format_help()\n"
    code += "print({*sys.modules} & {'pandas', 'matplotlib', 'torch'})"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
