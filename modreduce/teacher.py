"""The frozen network that teaches."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dataset.base import DataSet
from engine.facts import record_of_data
from helper.batch import Batch, Output
from models import check_model
from models.checkpoint import NetworkFile, read_network
from models.normalisation import OwnNormalisation, own_normalisation


class Teacher:
    """A frozen network that gives its Output once per step, for all students.

    It is no module on purpose: its weights are not part of what a run trains and saves. normalise: for a
    teacher that was trained with another mean and std than the batches have.
    """

    def __init__(self, network: nn.Module, name: str, normalise: OwnNormalisation | None = None):
        self.network = network.eval().requires_grad_(False)
        self.name = name
        self.normalise = normalise

    def to(self, device: torch.device) -> "Teacher":
        """Move it to the device, channels-last."""
        self.network.to(device, memory_format=torch.channels_last)
        if self.normalise is not None:
            self.normalise.to(device)
        return self

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Output:
        """Output for a batch, its further views among it; logits in float32."""
        if self.normalise is not None:
            views = {name: self.normalise(images) for name, images in batch.views.items()}
            batch = batch._replace(images=self.normalise(batch.images), views=views)
        return outputs(self.network, batch)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, C) in float32 of images (B, 3, H, W)."""
        if self.normalise is not None:
            images = self.normalise(images)
        return self.network(images).float()


def outputs(network: nn.Module, batch: Batch) -> Output:
    """What a network says of a batch: of its images, and by name of its further views; logits in float32."""
    own = network.outputs(batch.images)
    views = {name: _in_float32(network.outputs(images)) for name, images in batch.views.items()}
    return _in_float32(own)._replace(views=views) if views else _in_float32(own)


def _in_float32(output: Output) -> Output:
    return output._replace(logits=output.logits.float())


def check_teacher(accuracy: float, num_classes: int) -> str | None:
    """A line of warning for a teacher whose accuracy in percent is near chance, else None.

    Near is less than twice as good, or with two classes, where nothing is, less than halfway to 100 %.
    """
    chance = 100 / num_classes
    if accuracy >= min(2 * chance, chance + (100 - chance) / 2):
        return None
    return (
        f"the teacher reaches {accuracy:.2f} % on this test set, where guessing gives {chance:.2f} %: it was "
        "trained on other data, or on classes in another order"
    )


def teacher_file(path: Path, model: str | None) -> NetworkFile:
    """The file of --path_t, read before any data is; model: --model_t."""
    if model is not None:
        check_model("--model_t", model)
    return read_network(path, model)


def load_teacher(
    file: NetworkFile, dataset: DataSet, taps: Sequence[str] | None = None
) -> tuple[Teacher, list[str]]:
    """The frozen network of a file for this data set, and what to say of it before it teaches.

    taps: --taps_t. Raises UserError if it is for another number of classes, or cannot take such images.
    """
    file.check_classes(dataset.num_classes)
    normalise = own_normalisation((dataset.mean, dataset.std), file.record.normalisation)
    differences = file.record.differences(record_of_data(dataset))
    said = [file.took, f"the teacher {file.path}: {differences}" if differences else None]
    network = file.network_for(dataset.image_size, taps)
    return Teacher(network, file.arch, normalise), [text for text in said if text]
