"""The tutorial in a shortened form, from pictures to predictions, and the pictures that it writes."""

import csv
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import load_dataset
from helper.errors import UserError
from helper.packages import missing
from scripts import ROOT, tutorial, write_pictures
from scripts.tutorial_steps import OPTIONAL, SCALES, Places, steps
from tests.commands.running import run

ABSENT = missing(OPTIONAL)


@pytest.fixture
def write(tmp_path, monkeypatch, capsys):
    """Writes digits below the test's folder; returns what is said."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["write_pictures", *words])
        write_pictures.main()
        return capsys.readouterr().out

    return call


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_pictures_are_those_of_the_data_set(write, tmp_path):
    """Pixel for pixel, in the folder of their class; always the same ones."""
    said = write("some", "--classes", "3", "--train", "5", "--val", "2")
    assert said == "some/train: 15 pictures of 3 classes\nsome/val: 6 pictures of 3 classes\n"
    digits = load_dataset("digits", tmp_path)
    for split, images, labels in (
        ("train", digits.train_images, digits.train_labels),
        ("val", digits.test_images, digits.test_labels),
    ):
        for path in (tmp_path / "some" / split).rglob("*.png"):
            assert np.array_equal(np.asarray(Image.open(path)), images[int(path.stem)])
            assert path.parent.name == str(labels[int(path.stem)])
    write("again", "--classes", "3", "--train", "5", "--val", "2")
    assert files(tmp_path / "some") == files(tmp_path / "again")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("full",), "OUT: full is not empty (x is in it)"),
        (("out", "--classes", "11"), "--classes asks for 11, digits has 10: ask for fewer"),
        (("out", "--val", "1000"), "--val asks for 1000 images of each class, and class 0 has 36: ask for"),
    ],
)
def test_wrong_requests_write_nothing(write, tmp_path, words, line):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(UserError) as error:
        write(*words)
    assert str(error.value).startswith(line)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_classes_without_names_are_numbers_that_sort():
    assert write_pictures.folder_names(None, 11)[::5] == ["00", "05", "10"]
    assert write_pictures.folder_names(["a b", "c/d", "e"], 2) == ["a b", "c-d"]


@pytest.mark.skipif(bool(ABSENT), reason=f"needs {', '.join(ABSENT)}: sh scripts/setup.sh extra")
def test_the_tutorial_from_pictures_to_predictions(tmp_path):
    """Every command of the page runs, on a few pictures, and the page is made of what they print."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    scale, save = SCALES["digits"].shortened(), Path("my save")
    parts = steps(save, scale, save / "curves.png", "data")

    def execute(words):
        if words[0] == "-c":
            (tmp_path / "program.py").write_text(words[1])
            return run(str(tmp_path / "program.py"), folder=tmp_path)
        command, *rest = words[1:] if words[0] == "-m" else words
        return run(command, *rest, folder=tmp_path)

    done = list(tutorial.tell(parts, execute))
    page = "".join(tutorial.part_of_page(*part) for part in done)
    assert [page.count(f"## {step.title}\n") for step in parts] == [1] * len(parts)
    assert "40 pictures of 10 classes" in page
    assert re.search(r"\.png is (\d) and \1 ", page), "ONNX Runtime and timm see the same"
    shipped = tmp_path / save / "shipped"
    names = {path.name for path in shipped.iterdir()}
    assert {"model.onnx", "model_int8.onnx", "model.safetensors"} <= names
    assert len(json.loads((shipped / "export.json").read_text())["rows"]) == 5
    with open(tmp_path / save / "predictions.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 20
    found = tutorial.last_epochs(Places(tmp_path / save), scale.seeds)
    assert list(found) == ["alone", "kd", "fitnet", "ensemble"]
    assert "| student alone |" in " ".join(
        tutorial.table_of_report(tmp_path / save / "report/report.md").split()
    )


def test_the_verdict_is_honest():
    """It names those that win, and says so if none does."""
    lost = tutorial.verdict({"alone": [90.0, 92.0], "kd": [90.0, 91.0], "ensemble": [99.0, 99.0]}, (1, 2))
    assert "| alone | 90.00 | 92.00 | 91.00 |" in lost
    assert lost.endswith("seeds 1, 2: it does not beat the same student alone (kd -0.50 points).")
    won = tutorial.verdict({"alone": [90.0], "kd": [91.0], "fitnet": [89.0], "ensemble": [0.0]}, (1,))
    assert "with kd it beats the same student alone (kd +1.00 points, fitnet -1.00 points)." in won


def test_long_outputs_are_shortened_and_long_commands_folded():
    assert tutorial.shortened("1\n2\n3\n4\n5", 1, 2) == "1\n...\n4\n5"
    assert tutorial.shortened("1\n2\n3\n4", 1, 2) == "1\n2\n3\n4"
    command = "$ python script.py " + "--flag two values " * 20 + "--last"
    assert tutorial.folded(command).replace("\\\n", "").split() == command.split()
    assert max(map(len, tutorial.folded(command).splitlines())) <= tutorial.FOLD + 2


def test_the_page_holds_the_commands_of_the_script():
    """docs/tutorial.md was written by what stands here now."""
    page = (ROOT / "docs/tutorial.md").read_text()
    for step in steps(Path("save/tutorial"), SCALES["digits"], Path("docs/tutorial.png"), "data"):
        assert f"## {step.title}\n" in page and step.text in page
        for command in (*step.first, *step.then):
            assert tutorial.folded(f"$ python {command}") in page


@pytest.mark.parametrize(
    ("dataset", "line"), [("mnist", "DATASET is mnist, allowed are digits"), ("digits", "SAVE: ")]
)
def test_a_wrong_variable_is_told_before_anything_runs(tmp_path, dataset, line):
    (tmp_path / "x").touch()
    with pytest.raises(UserError, match=line):
        tutorial.tutorial(tmp_path, dataset, "data", None, short=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
