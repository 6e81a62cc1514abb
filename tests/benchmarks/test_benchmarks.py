"""The benchmarks' own commands: what they measure, draw and refuse."""

import json

import pytest
import torch

from benchmarks import parts, scaling
from benchmarks.step import PARTS, synthetic_data
from helper.device import Compute
from helper.errors import UserError
from reporting.published import EXPERIMENTS


def call(monkeypatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["scaling.py", *map(str, words)])
    scaling.main()


def report(**changed) -> dict:
    """What a measurement leaves, made up."""
    ways = {"chosen": 0.1, "whole bank": 0.2, "drawn rows": 0.3}
    points = [{"value": value, "medians": ways, "peak_memory_mib": 500.0} for value in (1000, 2000)]
    steps = [point | {"medians": {"chosen": 0.1}} for point in points]
    sweeps = {name: steps if name in ("students", "batch") else points for name in scaling.SWEEPS}
    where = {"teacher": "resnet56", "student": "resnet20", "device": "CPU: made up", "precision": "bf16"}
    return {"sweeps": sweeps, **where, **changed}


@pytest.mark.parametrize("sweep", ["negatives", "images", "images_few_negatives"])
def test_a_point_of_the_contrast_times_every_way(sweep, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "IMAGES", 2000)
    monkeypatch.setattr(scaling, "NEGATIVES", 256)
    monkeypatch.setattr(scaling, "FEW_NEGATIVES", 32)
    value = 64 if sweep == "negatives" else 3000
    call(monkeypatch, "--point", sweep, value, "--repeats", 2, "--precision", "fp32")
    point = json.loads(capsys.readouterr().out)
    assert set(point["medians"]) == set(scaling.WAYS)
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in point["seconds"].values())
    assert point["value"] == value and point["peak_memory_mib"] > 0


@pytest.mark.parametrize(("sweep", "value"), [("students", 1), ("students", 4), ("batch", 8)])
def test_a_point_of_the_step_runs_that_many_students(sweep, value, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "synthetic_data", lambda size: synthetic_data(600))
    monkeypatch.setattr("benchmarks.parts.NEGATIVES", 32)
    monkeypatch.setattr(scaling, "BATCH", 8)
    call(monkeypatch, "--point", sweep, value, "--repeats", 1)
    point = json.loads(capsys.readouterr().out)
    assert list(point["medians"]) == ["chosen"] and point["medians"]["chosen"] > 0


@pytest.mark.parametrize("left_out", [(), ("students",), ("images", "images_few_negatives")])
def test_a_figure_is_drawn_from_what_was_measured(left_out, tmp_path, monkeypatch):
    content = report()
    for name in left_out:
        del content["sweeps"][name]
    source = tmp_path / "scaling.json"
    source.write_text(json.dumps(content))
    call(monkeypatch, "--from_json", source, "--out", tmp_path / "new" / "scaling.png")
    assert (tmp_path / "new" / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_done_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    broken = tmp_path / "broken.json"
    broken.write_text("[1, 2]")
    cases = {
        ("--repeats", 1): "nothing to write",
        ("--repeats", 0, "--out", "a.png"): "--repeats 0",
        ("--from_json", broken, "--out", "a.png"): "holds no sweeps",
        ("--from_json", tmp_path / "none.json", "--out", "a.png"): "cannot read",
        ("--out", tmp_path / "a.bmp"): ".bmp",
        ("--from_json", broken, "--json", "b.json"): "leave --json out",
    }
    monkeypatch.setattr(scaling, "measure_all", lambda args: pytest.fail("measured"))
    for words, said in cases.items():
        with pytest.raises(UserError, match=said.replace(".", r"\.")):
            call(monkeypatch, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]


def test_every_part_of_both_versions_can_be_timed(monkeypatch):
    """On an experiment's networks, from the first part to the whole step."""
    for name, value in {"BATCH": 8, "NEGATIVES": 32, "WORKERS": 0, "DATA_BATCHES": 2}.items():
        monkeypatch.setattr(parts, name, value)
    where = EXPERIMENTS[2], synthetic_data(300), torch.device("cpu")
    literal = parts.Literal(*where)
    ours = parts.Ours(*where, Compute(precision="fp32"), batch_size=8)
    for part, _ in PARTS:
        for version in (literal, ours):
            getattr(version, part)()
    literal.close()
    assert all(torch.isfinite(output.logits).all() for output in ours.outputs)
