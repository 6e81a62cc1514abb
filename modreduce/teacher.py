"""The frozen network that teaches."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dataset.data import Data
from helper.batch import Batch, Output
from helper.checkpoint import digest, read_checkpoint
from models.checkpoint import check_model, load_network, network_name


class Teacher:
    """A frozen network that gives its Output once per step, for all students.

    It is no module on purpose: its weights are not part of what a run trains and saves.
    """

    def __init__(self, network: nn.Module, name: str):
        self.network = network.eval().requires_grad_(False)
        self.name = name

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Output:
        """Output for a batch, its further views among it; logits in float32."""
        return outputs(self.network, batch)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, C) in float32 of images (B, 3, H, W)."""
        return self.network(images).float()


def outputs(network: nn.Module, batch: Batch) -> Output:
    """What a network says of a batch: of its images, and by name of its further views; logits in float32."""
    own = network.outputs(batch.images)
    views = {name: _in_float32(network.outputs(images)) for name, images in batch.views.items()}
    return _in_float32(own)._replace(views=views) if views else _in_float32(own)


def _in_float32(output: Output) -> Output:
    return output._replace(logits=output.logits.float())


def check_teacher(accuracy: float, num_classes: int) -> str | None:
    """A line of warning for a teacher whose accuracy in percent is near chance, else None."""
    chance = 100 / num_classes
    if accuracy >= 2 * chance:
        return None
    return (
        f"the teacher reaches {accuracy:.2f} % on this test set, where guessing gives {chance:.2f} %: it was "
        "trained on other data, or on classes in another order"
    )


class TeacherFile(NamedTuple):
    """A teacher's checkpoint, read: where it stands, its network's name, its content."""

    path: Path
    arch: str
    content: dict[str, Any]


def teacher_file(path: Path, model: str | None) -> TeacherFile:
    """The checkpoint of --path_t, before any data is read; model: --model_t."""
    if model is not None:
        check_model("--model_t", model)
    content = read_checkpoint(path)
    return TeacherFile(path, network_name(content, Path(path), model), content)


def load_teacher(file: TeacherFile, data: Data) -> tuple[Teacher, str]:
    """The frozen network of a checkpoint for this data, and the SHA-256 of its weights."""
    network, name, content = load_network(file.path, data.num_classes, file.arch)
    return Teacher(network, name), digest(content["model"])
