"""export.py and predict.py as whole commands: what they leave, what they print, what they can do without."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.npz import load_npz
from engine.facts import record_of_data
from helper.checkpoint import write_checkpoint
from helper.errors import UserError
from models import build_network
from models.record import NetworkRecord
from tests.commands.running import run

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
HAS_ONNX = all(importlib.util.find_spec(name) for name in PACKAGES)
DATA = ["--dataset", "npz", "--data_folder", "digits.npz"]
CPU = ["--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def place(runner) -> Path:
    """A folder with a data set, two networks for it, and its test images as pictures."""
    folder = runner.folder
    data = load_npz(folder / "digits.npz")
    for name, arch in (("student", "resnet8"), ("large", "resnet14")):
        torch.manual_seed(2)
        network = build_network(arch, 10)
        for _ in range(3):
            network(torch.randn(16, 3, 32, 32))
        record = NetworkRecord(**vars(record_of_data(data)) | {"arch": arch})
        write_checkpoint(record.content(network), folder / f"{name}.pth")
    for number, image in enumerate(data.test_images[:30]):
        path = folder / "pictures" / f"{number % 3}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image)).save(path)
    return folder


@pytest.fixture
def export(place, monkeypatch, capsys):
    """Runs export.py in the folder, in this process; returns what it prints, or how it refuses."""
    import export

    def call(*words: str) -> str:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["export.py", "--path", "student.pth", "--no_latency", *words])
        try:
            export.main()
        except UserError as error:
            assert capsys.readouterr().out == ""
            return str(error)
        return capsys.readouterr().out

    return call


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_student_is_written_measured_and_used(place):
    """Without what is optional: as CI has it."""
    words = ("--path", "student.pth", "--teacher", "large.pth", *DATA, "--formats", "safetensors", "pt2")
    said = run("export.py", *words, "--out", "ships/one", folder=place)
    folder = place / "ships/one"
    names = ["config.json", "export.json", "labels.txt", "model.pt2", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "labels.txt").read_text().split() == [str(k) for k in range(10)]
    report = json.loads((folder / "export.json").read_text())
    titles = ["teacher large.pth (resnet14)", "network student.pth (resnet8)", "model.safetensors"]
    assert [row["name"] for row in report["rows"]] == [*titles, "model.pt2 (torch.export)"]
    teacher, student, weights, program = report["rows"]
    assert teacher["parameters"] > student["parameters"] and teacher["gflop"] > student["gflop"] > 0
    assert student["test_acc"] == weights["test_acc"] == program["test_acc"]
    for row in (teacher, student, program):
        assert {time["batch"] for time in row["latency"]} == {1, 64}
        assert all(time["calls"] >= 10 and time["milliseconds"] > 0 for time in row["latency"])
    assert weights["latency"] == [] and weights["bytes"] == (folder / "model.safetensors").stat().st_size
    lines = said.splitlines()
    assert f"{student['test_acc']:.2f} %" in lines[2] and "batch 64, 1 thread" in lines[0]
    assert "2 per multiply-add; top-1 on the test set of npz; latency: medians of 10 calls" in said
    assert report["machine"] in said and lines[-1] == "written: ships/one"
    assert max(report["largest_difference"].values()) <= 1e-4

    scores = run("evaluate.py", "--path", folder / "model.safetensors", *DATA, folder=place)
    assert f"{student['test_acc']:.2f} %" in scores
    for network, out in (("student.pth", "a.csv"), ("ships/one", "b.csv")):
        said = run("predict.py", "pictures", "--path", network, "--out", out, *CPU, folder=place)
        assert said.startswith(f"{out}: 30 pictures: ")
    assert (place / "a.csv").read_bytes() == (place / "b.csv").read_bytes()
    found = rows(place / "a.csv")
    assert [row["file"] for row in found] == sorted(f"{k % 3}/{k:02}.png" for k in range(30))
    columns = [f"{name}{k}" for k in ("", "_2", "_3", "_4", "_5") for name in ("class", "probability")]
    assert list(found[0]) == ["file", *columns]


@pytest.mark.skipif(not HAS_ONNX, reason="onnx is not installed: sh scripts/setup.sh extra")
def test_pictures_have_the_same_classes_by_onnx(place, export):
    said = export(*DATA, "--int8", "40", "--out", "ships/all")
    report = json.loads((place / "ships/all/export.json").read_text())
    assert report["formats"] == ["safetensors", "pt2", "onnx"] and report["calibration_images"] == 40
    assert "model_int8.onnx (onnxruntime)" in said and "thread" not in said
    accuracy = {row["name"].split()[0]: row["test_acc"] for row in report["rows"]}
    assert accuracy["model.onnx"] == accuracy["network"] and 0 <= accuracy["model_int8.onnx"] <= 100
    for network, out in (("student.pth", "torch.csv"), ("ships/all/model.onnx", "onnx.csv")):
        words = ("pictures", "--path", network, "--out", out, "--top", "10", *CPU)
        run("predict.py", *words, folder=place)
    expected, found = rows(place / "torch.csv"), rows(place / "onnx.csv")
    for one, other in zip(expected, found, strict=True):
        assert (one["file"], one["class"]) == (other["file"], other["class"])
        ours, theirs = (
            {row[f"class{k}"]: float(row[f"probability{k}"]) for k in ("", *(f"_{n}" for n in range(2, 11)))}
            for row in (one, other)
        )
        assert ours == pytest.approx(theirs, abs=1e-4) and len(ours) == 10


def test_without_a_package_its_format_is_left_out_or_refused(export, place, monkeypatch):
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    line = "needs the packages onnx, onnxscript, onnxruntime, which are missing: sh scripts/setup.sh extra"
    assert export("--formats", "pt2", "onnx", "--out", "refused") == f"--formats onnx {line}"
    assert export(*DATA, "--int8", "40", "--out", "refused") == f"--formats onnx {line}"
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert "--formats safetensors needs the package safetensors" in export(
        "--formats", "safetensors", "--out", "refused"
    )
    assert not (place / "refused").exists()
    said = export("--out", "ships/partly")
    assert "note: not written: safetensors, onnx (missing: safetensors, onnx, onnxscript, " in said
    assert json.loads((place / "ships/partly/export.json").read_text())["formats"] == ["pt2"]


def test_without_onnxruntime_an_onnx_file_is_refused(place, monkeypatch, capsys):
    import predict

    (place / "any.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["predict.py", "pictures", "--path", "any.onnx"])
    with pytest.raises(UserError, match=r"any.onnx needs the package onnxruntime, which is missing: sh scr"):
        predict.main()


def test_what_was_made_for_other_data_is_said(export, place):
    record = NetworkRecord(**vars(record_of_data(load_npz(place / "digits.npz"))) | {"dataset": "pets"})
    torch.manual_seed(2)
    content = record.content(build_network("resnet8", 10)) | {"arch": "resnet8"}
    write_checkpoint(content, place / "pets.pth")
    said = export("--path", "pets.pth", *DATA, "--formats", "safetensors", "--out", "ships/pets")
    assert "note: pets.pth: it was trained on pets, not on npz" in said


def test_broken_pictures_are_left_out_if_asked_and_told(place, monkeypatch):
    (place / "some").mkdir()
    (place / "some/a.png").write_bytes((place / "pictures/0/00.png").read_bytes())
    (place / "some/b.png").write_text("no picture")
    words = ("some", "--path", "student.pth", "--out", "some.csv", "--skip_broken", *CPU)
    said = run("predict.py", *words, folder=place)
    assert "1 of 2 pictures cannot be read and are left out:\n  b.png\n" in said
    assert [row["file"] for row in rows(place / "some.csv")] == ["a.png"]
