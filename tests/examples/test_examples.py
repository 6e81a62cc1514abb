"""Each extension point, as the README shows it: its example runs, and its name is known everywhere."""

import json
from pathlib import Path

import pytest

from tests.commands import running

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--epochs", "1", "--batch_size", "32", "--precision", "fp32", "--device", "cpu"]
DIGITS = ("--dataset", "digits", "--train_size", "64")
README = (ROOT / "README.md").read_text()


def run(module: str, *words: str | Path, folder: Path) -> Path:
    """Run an example as a user would, and return the folder of the run."""
    running.run(module, *words, *SMALL, "--save_folder", folder, folder=ROOT)
    (found,) = folder.glob("train_*/*")
    return found


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the example of a network."""
    folder = tmp_path_factory.mktemp("network")
    words = ("--model", "small", "--dataset", "digits", "--train_size", "64")
    return run("examples.network", *words, folder=folder)


def test_a_network(network: Path) -> None:
    results = json.loads((network / "results.json").read_text())
    assert results["students"][0]["model"] == "small"


def test_a_data_set(tmp_path: Path) -> None:
    found = run("examples.data_set", "--model", "resnet8", "--dataset", "shapes", folder=tmp_path)
    assert json.loads((found / "results.json").read_text())["dataset"] == "shapes"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher for the digits."""
    folder = tmp_path_factory.mktemp("teacher")
    words = ["--model", "resnet8", "--dataset", "digits", "--train_size", "64"]
    return run("train_teacher", *words, folder=folder) / "teacher_last.pth"


def test_a_method(teacher: Path, tmp_path: Path) -> None:
    words = [
        "--model_s",
        "resnet8",
        "--distill",
        "attention",
        "--attention_power",
        "1",
        "--dataset",
        "digits",
        "--train_size",
        "64",
    ]
    found = run("examples.method", "--path_t", teacher, *words, folder=tmp_path)
    (student,) = json.loads((found / "results.json").read_text())["students"]
    assert student["label"] == "Attention"
    assert student["beta"] == 100.0
    assert json.loads((found / "args.json").read_text())["changed"]["attention_power"] == 1.0


def test_an_ensemble(teacher: Path, tmp_path: Path) -> None:
    words = ("--model_s", "resnet8", "--distill", "kd", "rkd", "dkd", "--online", "median", *DIGITS)
    found = run("examples.ensemble", "--path_t", teacher, *words, folder=tmp_path)
    assert json.loads((found / "results.json").read_text())["ensemble"]["online"] == "median"


@pytest.mark.parametrize("name", ["method", "network", "data_set", "ensemble"])
def test_the_readme_names_every_example(name: str) -> None:
    assert f"examples/{name}.py" in README


def test_the_readme_quotes_the_method() -> None:
    """The lines of code in the README's block are lines of the example."""
    block = README.split("```python")[1].split("```")[0]
    own = {line.strip() for line in (ROOT / "examples" / "method.py").read_text().splitlines()}
    assert [line for line in block.splitlines() if line.strip() and line.strip() not in own] == []
