"""Files that a user may bring by mistake: checkpoints, data sets, run folders, flags with something wrong."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from engine.run_folder import STATE_ENTRIES
from helper.checkpoint import write_checkpoint
from models import model_dict

RUN = "save/train_student/S_resnet8_T_resnet8_npz_kd_trial_{}"
CLASSES = 3


class Code:
    """What an attacker's pickle does when it is loaded by the usual means."""

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, ("written-by-code",)


def teacher(name: str = "resnet8", classes: int = CLASSES, **changed: object) -> dict:
    """The content of a teacher's checkpoint, with entries changed; an entry that is None is left out."""
    torch.manual_seed(1)
    network = model_dict[name](num_classes=classes)
    content = {"model": network.state_dict(), "epoch": 1, "accuracy": 50.0, "arch": name, **changed}
    return {key: value for key, value in content.items() if value is not None}


USER_FILE = """
from torch import nn

def small(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 8, 8), nn.Conv2d(8, 16, 2),
        nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(16, num_classes),
    )

def flat(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))

def nothing(num_classes):
    return None

def raising(num_classes):
    raise ValueError("no luck")

class Heads(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.network = flat(num_classes)

    def forward(self, x):
        z = self.network(x)
        return (z, z) if self.training else z

class Boxes(Heads):
    def forward(self, x):
        return {"boxes": x}
"""


def make_checkpoints() -> None:
    """teacher.pth is right, all others are not."""
    Path("net.py").write_text(USER_FILE)
    Path("broken.py").write_text("1 / 0\n")
    write_checkpoint(teacher(arch="net.py:small"), "code.pth")
    write_checkpoint(teacher(arch="torchvision:resnet18"), "other_code.pth")
    write_checkpoint(teacher(), "teacher.pth")
    whole = Path("teacher.pth").read_bytes()
    Path("cut.pth").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    Path("flipped.pth").write_bytes(
        whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :],
    )
    Path("empty.pth").write_bytes(b"")
    Path("text.pth").write_text("<html>not found</html>\n")
    Path("folder.pth").mkdir()
    Path("pickle.pth").write_bytes(pickle.dumps({"model": Code()}))
    torch.save({"model": Code()}, "new_code.pth")
    torch.save({"model": Code()}, "old_code.pth", _use_new_zipfile_serialization=False)
    torch.save([1, 2], "list.pth")
    torch.save(model_dict["resnet8"](num_classes=CLASSES).state_dict(), "bare.pth")
    Path("pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    torch.save(teacher(opt={"data": PurePosixPath("data")}), "path.pth")
    torch.save(teacher(), "protocol.pth", pickle_protocol=4)
    torch.save({"state_dict": teacher()["model"], "arch": "cifar100_resnet8"}, "foreign.pth")
    write_checkpoint(dict.fromkeys(STATE_ENTRIES, 1), "state.pth")
    torch.save({"model": {1: torch.zeros(2)}}, "numbered.pth")
    torch.save({"model": {"conv1.weight": torch.zeros(2, 2).to_sparse()}}, "sparse.pth")
    wrong = teacher()
    wrong["sha256"] = "0" * 64
    torch.save(wrong, "checksum.pth")
    write_checkpoint(teacher("vgg8", arch="resnet8"), "other_network.pth")
    write_checkpoint(teacher(classes=100), "hundred.pth")
    write_checkpoint(teacher(arch=None), "nameless.pth")
    write_checkpoint(teacher(arch="resnet9"), "unknown.pth")
    write_checkpoint(teacher(arch=[1, 2]), "strange.pth")
    broken = teacher()
    broken["model"]["conv1.weight"][0, 0, 0, 0] = float("nan")
    write_checkpoint(broken, "nan.pth")
    ensemble = {"online": "wavg", "students": ["kd", "crd"], "models": ["resnet8"] * 2}
    write_checkpoint(
        ensemble | {"num_classes": CLASSES, "state": {"weight": torch.zeros(())}}, "ensemble.pth"
    )
    other = ensemble | {"models": ["resnet8", "vgg8"], "num_classes": CLASSES, "state": {}}
    write_checkpoint(other, "ordered.pth")
    for student in ("kd", "crd"):
        write_checkpoint(teacher(student=student), f"{student}_last.pth")
    write_checkpoint({"online": ["wavg"]}, "no_ensemble.pth")
    write_checkpoint(teacher(), "second.pth")


def arrays() -> dict[str, np.ndarray]:
    """A small data set that is right."""
    random = np.random.default_rng(1)
    labels = np.arange(24) % CLASSES
    return {
        "train_images": random.integers(0, 256, (24, 32, 32, 3), np.uint8),
        "train_labels": labels,
        "test_images": random.integers(0, 256, (6, 32, 32, 3), np.uint8),
        "test_labels": labels[:6],
    }


def make_data_sets() -> None:
    """good.npz is right, all others are not; each is the right one with one change."""
    right = arrays()
    images, labels = right["train_images"], right["train_labels"]
    floats = images.astype(np.float32) / 255
    floats[3, 2, 1, 0] = np.nan
    changes = {
        "good": {},
        "no_labels": {"test_labels": None},
        "gap": {"train_labels": np.where(labels == 1, 2, labels)},
        "test_class": {"test_labels": np.array([0, 1, 2, 3, 0, 1])},
        "negative": {"train_labels": np.where(labels == 1, -1, labels)},
        "one_class": {"train_labels": labels * 0, "test_labels": labels[:6] * 0},
        "fractions": {"train_labels": labels / 2},
        "one_hot": {"train_labels": np.eye(3, dtype=np.int64)[labels]},
        "few_labels": {"train_labels": labels[:-1]},
        "grey": {"train_images": images[..., 0]},
        "alpha": {"train_images": np.concatenate([images, images[..., :1]], axis=3)},
        "channels_first": {"train_images": images.transpose(0, 3, 1, 2)},
        "small": {"train_images": images[:, :28, :28]},
        "oblong": {"test_images": right["test_images"][:, :, :24]},
        "two_sizes": {"test_images": np.zeros((6, 64, 64, 3), np.uint8)},
        "nan": {"train_images": floats},
        "floats": {"train_images": np.nan_to_num(floats)},
        "empty_train": {"train_images": images[:0], "train_labels": labels[:0]},
        "empty_test": {"test_images": images[:0], "test_labels": labels[:0]},
        "one_colour": {"train_images": images * 0 + 9},
        "objects": {"train_labels": np.array([Code()] * 24, object)},
        "single": {"train_images": images[:4], "train_labels": np.array([0, 0, 1, 2])},
    }
    for name, change in changes.items():
        np.savez(f"{name}.npz", **{k: v for k, v in (right | change).items() if v is not None})
    whole = Path("good.npz").read_bytes()
    Path("damaged.npz").write_bytes(whole[:3000] + b"damage" + whole[3006:])
    Path("cut.npz").write_bytes(whole[:9000])
    Path("text.npz").write_text("no archive\n")
    np.save("array.npy", images)
    os.replace("array.npy", "array.npz")
    Path("cifar_small").mkdir()
    Path("cifar_small/cifar100.npz").write_bytes(whole)
    Path("cifar_text").mkdir()
    Path("cifar_text/cifar100.npz").write_text("no archive\n")
    Path("nothing").mkdir()


def make_configs() -> None:
    """some.json is right where a command has the rest, all others are not."""
    contents = {
        "some": {"epochs": 2, "learning_rate": None},
        "list": [1, 2],
        "former": {"command": "train_teacher.py", "settings": {"epochs": 2, "seed": 1}},
        "misspelt": {"lerning_rate": 0.1},
        "switch": {"resume": "yes"},
        "zero": {"epochs": 0},
        "fraction": {"epochs": 2.0},
        "nan": {"learning_rate": float("nan")},
        "boolean": {"trial": True},
        "several": {"trial": ["a", "b"]},
        "object": {"epochs": {"value": 2}},
        "choice": {"settings": {"data": {"batch_size": 4}, "recipe": {"optimizer": "adam"}, "options": {}}},
        "decays": {"lr_decay_epochs": [2, 1]},
        "both": {"schedule": "cosine", "lr_decay_epochs": [1]},
        "null_byte": {"save_folder": "a\0b"},
        "surrogate": {"save_folder": "a\ud800"},
        "help": {"help": True},
        "itself": {"config": "itself.json"},
        "hidden": {"num_workers": 8},
        "empty": {"distill": []},
        "methods": {"distill": ["kd", "--epochs"]},
        "nulls": {"distill": ["kd", None]},
        "peers": {"path_t": None, "model_s": "resnet8"},
    }
    for name, content in contents.items():
        Path(f"{name}.json").write_text(json.dumps(content))
    Path("cut.json").write_text('{"epochs": 2')
    Path("binary.json").write_bytes(b"\xff\xfe{}")


def make_pictures() -> None:
    """whole.pth and pictures/ are right, all others are not."""
    normalised = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "image_size": 32}
    write_checkpoint(teacher(**normalised), "whole.pth")
    write_checkpoint(teacher(**normalised | {"image_size": 64}), "large.pth")
    write_checkpoint(teacher(arch="net.py:small", **normalised), "code_whole.pth")
    picture = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    for folder, names in {"pictures": "ab", "some_broken": "abc", "all_broken": "a"}.items():
        Path(folder).mkdir()
        for name in names:
            Image.fromarray(picture).save(f"{folder}/{name}.png")
    Path("some_broken/b.png").write_bytes(Path("some_broken/a.png").read_bytes()[:90])
    Path("some_broken/c.png").write_text("<html>not found</html>")
    Path("all_broken/a.png").write_bytes(b"")
    Path("text.onnx").write_text("no network\n")
    Path("model.pt2").write_bytes(b"")
    Path("model.tflite").write_bytes(b"")


def make_run_folders() -> None:
    """Runs that stand in the way of another, and things that are no folders."""
    for trial in ("unfinished", "changed", "student", "cut", "cut_with_previous", "finished", "locked"):
        Path(RUN.format(trial)).mkdir(parents=True)
    state = dict.fromkeys(STATE_ENTRIES, 1) | {"settings": {"learning_rate": 0.5, "epochs": 2}}
    for trial in ("unfinished", "changed", "cut", "cut_with_previous"):
        write_checkpoint(state, Path(RUN.format(trial), "last.pth"))
    for trial in ("cut", "cut_with_previous"):
        os.truncate(Path(RUN.format(trial), "last.pth"), 700)
    write_checkpoint(state, Path(RUN.format("cut_with_previous"), "previous.pth"))
    write_checkpoint(teacher(), Path(RUN.format("student"), "last.pth"))
    Path(RUN.format("finished"), "results.json").write_text("{}\n")
    Path("occupied").write_text("a file where a folder should be\n")
    Path("runs").mkdir()
    Path("runs/models").write_text("a file where a folder should be\n")
    Path("json_folder").mkdir()
