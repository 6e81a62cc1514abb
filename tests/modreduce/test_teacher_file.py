"""A teacher's file: its own normalisation, what its classes are, and what is said before the first epoch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset import load_dataset
from dataset.base import DataSet
from dataset.data import DataSettings, eval_loader
from dataset.npz import load_npz
from engine.facts import record_of_data
from helper.batch import Batch
from helper.checkpoint import write_checkpoint
from helper.errors import UserError
from models import build_network
from modreduce.teacher import check_teacher, load_teacher, teacher_file
from tests.commands import running

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
OWN_MEAN, OWN_STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def data_set(**changed) -> DataSet:
    random = np.random.default_rng(1)
    images, labels = random.integers(0, 256, (12, 32, 32, 3), np.uint8), np.arange(12) % 3
    return DataSet("npz", images, labels, images, labels, num_classes=3, mean=MEAN, std=STD, **changed)


def saved(folder: Path, **changed) -> Path:
    """A teacher's file for that data set, with entries changed."""
    torch.manual_seed(1)
    record = replace(record_of_data(data_set()), arch="resnet8")
    write_checkpoint(record.content(build_network("resnet8", 3)) | changed, folder / "teacher.pth")
    return folder / "teacher.pth"


def batch(mean=MEAN, std=STD) -> Batch:
    """Two views of images, normalised."""

    def normalised(seed: int) -> torch.Tensor:
        pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        return (pixels - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)

    return Batch(normalised(1), torch.arange(4) % 3, torch.arange(4), {"strong": normalised(2)})


def test_a_teacher_of_the_same_normalisation_sees_the_batch_bit_for_bit(tmp_path):
    teacher, notes = load_teacher(teacher_file(saved(tmp_path), None), data_set())
    old, _ = load_teacher(teacher_file(saved(tmp_path, mean=None, std=None), None), data_set())
    assert teacher.normalise is None and old.normalise is None and notes == []
    plain = teacher.network.outputs(batch().images).logits
    assert torch.equal(teacher(batch()).logits, plain) and torch.equal(teacher.logits(batch().images), plain)


def test_a_teacher_brings_its_own_normalisation_to_images_and_views(tmp_path):
    path = saved(tmp_path, mean=list(OWN_MEAN), std=list(OWN_STD))
    teacher, notes = load_teacher(teacher_file(path, None), data_set())
    found, own = teacher.to(torch.device("cpu"))(batch()), batch(OWN_MEAN, OWN_STD)
    with torch.no_grad():
        expected, strong = (teacher.network(images) for images in (own.images, own.views["strong"]))
    assert torch.allclose(found.logits, expected, rtol=1e-3, atol=1e-4)
    assert torch.allclose(found.views["strong"].logits, strong, rtol=1e-3, atol=1e-4)
    assert torch.equal(teacher.logits(batch().images), found.logits)
    assert not torch.allclose(found.logits, teacher.network(batch().images), rtol=1e-2)
    assert len(notes) == 1 and "it keeps its own normalisation, mean (0.1, 0.2, 0.3)" in notes[0]


def test_a_teacher_of_other_classes_is_refused_and_of_another_order_named(tmp_path):
    path = saved(tmp_path, class_names=["cat", "dog", "owl"])
    _, notes = load_teacher(teacher_file(path, None), data_set(class_names=("dog", "cat", "owl")))
    assert "its classes stand in another order (class 0 is 'cat' there, 'dog' here)" in notes[0]
    with pytest.raises(UserError, match="was trained for 3 classes, the data set has 4"):
        load_teacher(teacher_file(path, None), replace(data_set(), num_classes=4))


def test_what_was_taken_of_a_foreign_file_is_among_what_is_said(tmp_path):
    state = {f"module.{key}": value for key, value in build_network("resnet8", 3).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "foreign.pth")
    _, notes = load_teacher(teacher_file(tmp_path / "foreign.pth", "resnet8"), data_set())
    assert len(notes) == 1 and "its entry 'state_dict', without the prefix 'module.'" in notes[0]


def test_chance_depends_on_the_number_of_classes():
    assert check_teacher(1.9, 100) and not check_teacher(2.1, 100)
    assert check_teacher(60.0, 3) and not check_teacher(67.0, 3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with digits, digits whose classes stand in another order, and a teacher of the first."""
    folder = tmp_path_factory.mktemp("order")
    digits = load_dataset("digits", folder)
    for name, order in (("digits", np.arange(10)), ("shifted", (np.arange(10) + 1) % 10)):
        np.savez(
            folder / f"{name}.npz",
            train_images=digits.train_images[:400],
            train_labels=order[digits.train_labels[:400]],
            test_images=digits.test_images[:100],
            test_labels=order[digits.test_labels[:100]],
        )
    torch.manual_seed(1)
    network = build_network("resnet8", 10).eval()
    made_for = load_npz(folder / "digits.npz")
    loader = eval_loader(made_for, made_for.train, DataSettings(), torch.device("cpu"))
    ((images, labels, *_),) = loader
    with torch.no_grad():  # a classifier of the untrained network's embeddings, by least squares
        embedding = torch.cat([network.outputs(images).embedding, torch.ones(len(images), 1)], dim=1).double()
        fitted = torch.linalg.lstsq(embedding, torch.eye(10)[labels].double()).solution.float()
        network.fc.weight.copy_(fitted[:-1].T)
        network.fc.bias.copy_(fitted[-1])
    record = replace(record_of_data(made_for), arch="resnet8")
    write_checkpoint(record.content(network), folder / "teacher.pth")
    return folder


def run(folder: Path, script: str, *words: str) -> str:
    common = ["--dataset", "npz", "--device", "cpu", "--precision", "fp32"]
    return running.run(script, *words, *common, folder=folder)


@pytest.mark.parametrize(("data", "warned"), [("digits", False), ("shifted", True)])
def test_a_teacher_whose_classes_are_in_another_order_is_told_before_the_first_epoch(data, warned, runs):
    words = [
        "--path_t",
        "teacher.pth",
        "--model_s",
        "resnet8",
        "--distill",
        "kd",
    ]
    said = run(
        runs,
        "train_student.py",
        *words,
        "--epochs",
        "1",
        "--train_size",
        "20",
        "--batch_size",
        "10",
        "--data_folder",
        f"{data}.npz",
        "--trial",
        data,
    )
    (log,) = runs.glob(f"save/train_student/*_trial_{data}/log.txt")
    lines = [
        line
        for line in log.read_text().splitlines()
        if "warning: the teacher reaches" in line or "epoch 1/1" in line
    ]
    assert len(lines) == 1 + warned and "epoch 1/1" in lines[-1]
    assert ("was trained on other data, or on classes in another order" in said) == warned
