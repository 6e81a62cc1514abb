"""evaluate.py: in float32 unless asked, with each network's own normalisation, ensembles in their order."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.npz import load_npz
from engine.facts import record_of_data
from helper.checkpoint import read_checkpoint, write_checkpoint
from helper.device import PRECISIONS, Compute
from helper.errors import UserError
from models import build_network
from models.checkpoint import read_network
from models.record import NetworkRecord
from modreduce.wavg import WeightedAverage
from tests.commands import running

ROOT = Path(__file__).resolve().parent.parent.parent
CLASSES = 3
TRAINING = ["--batch_size", "8", "--epochs", "1", "--device", "cpu"]


def make_data(path: Path, brightness: int = 0, seed: int = 1) -> Path:
    """A small data set; brighter training images change its mean and std, the test images stay."""
    random = np.random.default_rng(seed)
    labels = np.arange(24) % CLASSES
    images = random.integers(0, 200, (48, 32, 32, 3), np.uint8)
    train, test = images[:24] // (2 if brightness else 1) + brightness, images[24:]
    np.savez(
        path, train_images=train.astype(np.uint8), train_labels=labels, test_images=test, test_labels=labels
    )
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data set, a brighter one with the same test images, and a run of two students."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = make_data(folder / "data.npz")
    make_data(folder / "brighter.npz", brightness=100)
    torch.manual_seed(1)
    record = NetworkRecord(**vars(record_of_data(load_npz(data))) | {"arch": "resnet8"})
    write_checkpoint(record.content(build_network("resnet8", CLASSES)), folder / "teacher.pth")
    words = ["--path_t", "teacher.pth", "--model_s", "resnet8", "wrn_16_1", "--distill", "kd", "rkd"]
    words += ["--online", "one", "--dataset", "npz", "--data_folder", "data.npz", "--precision", "bf16"]
    running.run("train_modreduce.py", *words, *TRAINING, folder=folder)
    (run,) = (folder / "save/train_modreduce").iterdir()
    run.rename(folder / "run")
    return folder


@pytest.fixture
def evaluate(place, monkeypatch, capsys):
    """Runs evaluate.py in the folder; returns what it prints, or how it refuses, and the scores."""
    import evaluate

    def call(*words: str, data: str = "data.npz") -> tuple[str, dict]:
        monkeypatch.chdir(place)
        Path("scores.json").unlink(missing_ok=True)
        flags = ["--dataset", "npz", "--data_folder", data, "--device", "cpu", "--json", "scores.json"]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *flags, *words])
        try:
            evaluate.main()
        except UserError as error:
            assert not Path("scores.json").exists() and capsys.readouterr().out == ""
            return str(error), {}
        return capsys.readouterr().out, json.loads(Path("scores.json").read_text())

    return call


STUDENTS = ("run/kd_last.pth", "run/rkd_last.pth")
TOGETHER = ("--path", *STUDENTS, "--ensemble", "run/ensemble_last.pth")


def test_a_runs_own_results_are_reproduced_to_the_last_digit(place, evaluate):
    said, found = evaluate(*TOGETHER)
    results = json.loads((place / "run/results.json").read_text())
    assert said.splitlines()[0] == f"npz, test set, fp32 on {results['device']}"
    assert (found["precision"], found["device"]) == ("fp32", results["device"])
    kd, rkd, fused = found["scores"].values()
    for scores, student in zip((kd, rkd), results["students"], strict=True):
        assert scores == {
            "test_loss": student["test_loss_last"],
            "test_acc": student["test_acc_last"],
            "test_acc_top5": student["test_acc_top5_last"],
        }
    assert fused["test_acc"] == results["ensemble"]["test_acc_last"]
    metrics = (place / "run/metrics.csv").read_text().splitlines()
    assert f"{fused['test_loss']:.7g}" in metrics[-1].split(",")


def test_a_runs_networks_say_all_that_their_use_depends_on(place):
    results = json.loads((place / "run/results.json").read_text())
    for student in results["students"]:
        record = read_network(place / f"run/{student['name']}_last.pth").record
        lacking = {field.name for field in fields(record) if getattr(record, field.name) is None}
        # .npz files have no names of classes, only networks of other code have taps, only pictures are
        # resized, and only moving averages have a decay
        assert lacking == {"class_names", "taps", "small_stem", "resize", "ema"}
        assert (record.student, record.arch) == (student["name"], student["model"])
        assert (record.epoch, record.epochs, record.image_size) == (1, 1, 32)
        assert record.normalisation == record_of_data(load_npz(place / "data.npz")).normalisation
        assert record.data_sha256 == results["data_sha256"]
        assert record.accuracy == pytest.approx(student["test_acc_last"])


def test_another_precision_is_asked_for_and_said(evaluate):
    said, found = evaluate(*TOGETHER, "--precision", "bf16")
    assert said.startswith("npz, test set, bf16 on ") and found["precision"] == "bf16"
    losses = [scores["test_loss"] for scores in found["scores"].values()]
    in_fp32 = [scores["test_loss"] for scores in evaluate(*TOGETHER)[1]["scores"].values()]
    assert losses != in_fp32 and losses == pytest.approx(in_fp32, rel=0.1)


def test_every_precision_of_the_device_can_be_asked_for():
    import evaluate

    assert set(evaluate.PRECISIONS) == set(PRECISIONS)


def test_products_are_exact_in_float32_on_a_gpu_too(evaluate, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.backends.cuda.matmul.allow_tf32 = True  # which monkeypatch cannot set back
    evaluate("--path", "teacher.pth")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_other_training_images_change_no_score_and_the_difference_is_said(evaluate):
    same, at_home = evaluate(*TOGETHER)
    said, elsewhere = evaluate(*TOGETHER, data="brighter.npz")
    assert elsewhere["scores"] == at_home["scores"]
    assert said.count("it keeps its own normalisation, mean (") == 2 and "note" not in same


def test_networks_with_different_normalisations_each_keep_their_own(place, evaluate):
    (_, alone), (_, both) = (evaluate("--path", *paths) for paths in (STUDENTS[:1], STUDENTS))
    content = read_checkpoint(place / STUDENTS[1])
    write_checkpoint(content | {"mean": [0.1, 0.2, 0.3], "std": [0.3, 0.3, 0.3]}, place / "other.pth")
    other = evaluate("--path", "other.pth")[1]["scores"]["other.pth (wrn_16_1)"]
    _, mixed = evaluate("--path", STUDENTS[0], "other.pth")
    key = f"{STUDENTS[0]} (resnet8)"
    assert mixed["scores"][key] == alone["scores"][key] == both["scores"][key]
    assert mixed["scores"]["other.pth (wrn_16_1)"] == pytest.approx(other, rel=1e-4)
    assert other["test_loss"] != pytest.approx(
        both["scores"][f"{STUDENTS[1]} (wrn_16_1)"]["test_loss"], rel=1e-3
    )


def test_a_file_without_normalisation_takes_the_data_sets(place, evaluate):
    content = read_checkpoint(place / "teacher.pth")
    write_checkpoint({"model": content["model"], "arch": "resnet8"}, place / "old.pth")
    at_home, elsewhere = (evaluate("--path", "old.pth", data=d)[1] for d in ("data.npz", "brighter.npz"))
    assert at_home["scores"] != elsewhere["scores"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"class_names": ["cat", "dog", "owl"], "dataset": "pets"}, "it was trained on pets, not on npz"),
        ({"image_size": 64}, "its images were 64 x 64, these are 32 x 32"),
    ],
)
def test_what_a_network_was_made_for_is_compared(changed, said, place, evaluate):
    write_checkpoint(read_checkpoint(place / "teacher.pth") | changed, place / "changed.pth")
    assert f"note: changed.pth: {said}" in evaluate("--path", "changed.pth")[0]


def test_what_was_taken_of_another_code_bases_file_is_said(place, evaluate):
    content = read_checkpoint(place / "teacher.pth")
    state = {f"module.{key}": value for key, value in content["model"].items()}
    torch.save(
        {"state_dict": state, "arch": "cifar100_resnet8", "best": np.float64(50)}, place / "foreign.pth"
    )
    said, found = evaluate("--path", "foreign.pth", "--model", "resnet8")
    assert "note: foreign.pth: the network's weights are its entry 'state_dict', without the prefix" in said
    assert found["scores"].keys() == {"foreign.pth (resnet8)"}


def ensemble_of(place: Path, students: list[str], models: list[str] | None) -> str:
    state = WeightedAverage(len(students), CLASSES).state_dict()
    content = {
        "online": "wavg",
        "students": students,
        "models": models,
        "num_classes": CLASSES,
        "state": state,
    }
    write_checkpoint(content, place / "ensemble.pth")
    return "ensemble.pth"


def test_networks_in_another_order_than_the_ensembles_are_refused(evaluate):
    line, _ = evaluate("--path", *STUDENTS[::-1], "--ensemble", "run/ensemble_last.pth")
    assert line == (
        "run/ensemble_last.pth has kd as its student 1, run/rkd_last.pth is the network of rkd: give --path "
        "the networks of kd, rkd, in this order"
    )


def test_renamed_networks_are_known_by_what_their_files_say(place, evaluate):
    for name, path in zip(("b.pth", "a.pth"), STUDENTS, strict=True):
        (place / name).write_bytes((place / path).read_bytes())
    assert evaluate("--path", "b.pth", "a.pth", "--ensemble", "run/ensemble_last.pth")[1]
    line, _ = evaluate("--path", "a.pth", "b.pth", "--ensemble", "run/ensemble_last.pth")
    assert "a.pth is the network of rkd" in line


def test_files_without_names_are_known_by_their_own_or_by_their_architecture(place, evaluate):
    for arch, name in (("resnet8", "kd"), ("resnet8", "kd_2"), ("vgg8", "x"), ("resnet8", "y")):
        torch.manual_seed(2)
        write_checkpoint(
            {"model": build_network(arch, CLASSES).state_dict(), "arch": arch}, place / f"{name}_best.pth"
        )
    same = ensemble_of(place, ["kd", "kd_2"], ["resnet8", "resnet8"])
    assert evaluate("--path", "kd_best.pth", "kd_2_best.pth", "--ensemble", same)[1]
    line, _ = evaluate("--path", "kd_2_best.pth", "kd_best.pth", "--ensemble", same)
    assert "has kd as its student 1, kd_2_best.pth is the network of kd_2" in line
    other = ensemble_of(place, ["kd", "crd"], ["resnet8", "vgg8"])
    assert evaluate("--path", "y_best.pth", "x_best.pth", "--ensemble", other)[1]
    line, _ = evaluate("--path", "x_best.pth", "y_best.pth", "--ensemble", other)
    assert "has a resnet8 as its student 1 (kd), x_best.pth holds a vgg8" in line
    unnamed = ensemble_of(place, ["kd", "crd"], None)
    assert evaluate("--path", "x_best.pth", "y_best.pth", "--ensemble", unnamed)[1]


def test_networks_of_another_run_are_said(place, evaluate):
    content = read_checkpoint(place / STUDENTS[0])
    write_checkpoint(content | {"settings_sha256": "0" * 64}, place / "another.pth")
    said, _ = evaluate("--path", "another.pth", STUDENTS[1], "--ensemble", "run/ensemble_last.pth")
    assert "was learned with other networks than another.pth: these are of another run" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--path", "run/last.pth"), "run/last.pth is the state of a run"),
        (("--path", *STUDENTS, "run/ensemble_last.pth"), "run/ensemble_last.pth is the ensemble of a run"),
        (
            ("--path", "teacher.pth", "--model", "resnet9"),
            "--model resnet9 is unknown; the networks are resnet8",
        ),
        (
            ("--path", "run"),
            "no checkpoint at run: give the path of a .pth file; in that folder are ensemble_",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_the_data_is_read(words, said, evaluate):
    assert evaluate(*words, data="nowhere.npz")[0].startswith(said)


def test_figures_show_networks_with_their_own_normalisation_too(place, capsys):
    from figures import look_at_networks

    seen = []
    for data in ("data.npz", "brighter.npz"):
        settings = {"dataset": "npz", "data_folder": place / data}
        paths = [place / "teacher.pth", place / STUDENTS[0]]
        seen.append(look_at_networks(paths, None, settings, Compute(device="cpu"), None, None))
    for one, other in zip(*seen, strict=True):
        assert np.array_equal(one.logits, other.logits)
    assert capsys.readouterr().out.count("it keeps its own normalisation") == 2


@pytest.mark.parametrize("command", ["evaluate", "figures", "export", "predict"])
def test_flags_are_answered_without_torch(command):
    slow = "{'torch', 'numpy', 'matplotlib'}"
    code = f"import sys, {command}; {command}.parser(); print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
