"""A network as a program uses it: pixels in, logits out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from dataset.base import DataSet
from dataset.picture_set import PictureSet
from helper.errors import UserError, told_in_a_line
from helper.sizes import ImageSize, shown, sides
from models.checkpoint import NetworkFile
from models.record import NetworkRecord

Images = DataSet | PictureSet
IMAGE_SIZE = 32  # of networks whose files do not say it
INPUT, OUTPUT, BATCH = "image", "logits", "batch"


class FromPixels(nn.Module):
    """A network behind its normalisation: images (N, 3, H, W), black 0 and white 1, to logits (N, classes).

    mean, std: of each channel, in units where white is 1.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.network((image - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class Deployed:
    """A network that is ready for use, in float32 on the CPU.

    path: its file; record: what its use depends on, with name, number of classes, size and normalisation.
    """

    path: Path
    record: NetworkRecord
    module: FromPixels = field(repr=False)

    @property
    def arch(self) -> str:
        """The network's name."""
        return self.record.arch

    @property
    def image_size(self) -> ImageSize:
        """Of the images that it takes, in pixels."""
        return self.record.image_size

    @property
    def class_names(self) -> list[str]:
        """A name for each logit: its number where there is none."""
        return class_names(self.record, self.record.num_classes)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """(N, classes) of images (N, 3, H, W), white 1."""
        return self.module(images)

    def example(self, count: int, seed: int = 0) -> Tensor:
        """So many images of noise (N, 3, H, W)."""
        random = torch.Generator().manual_seed(seed)
        return torch.rand(count, 3, *sides(self.image_size), generator=random)

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """Its operations for any number of images, without its code.

        Raises UserError where torch.export cannot follow the code.
        """
        batch = torch.export.Dim(BATCH, min=1)
        with (
            told_in_a_line(
                f"{self.arch} cannot be exported as a program", "--formats safetensors keeps its weights"
            ),
            torch.no_grad(),
        ):
            return torch.export.export(self.module, (self.example(2),), dynamic_shapes={INPUT: {0: batch}})


def deployed(file: NetworkFile, dataset: Images | None = None) -> Deployed:
    """The network of a file with its own normalisation, or that of the data set where the file has none.

    Raises UserError where neither says it, and if the data set has other classes or images of another size.
    """
    record, size, resize = file.record, IMAGE_SIZE, file.record.resize
    mean_and_std = record.normalisation
    if dataset is not None:
        file.check_classes(dataset.num_classes)
        size = dataset.image_size
        if record.image_size not in (None, size):
            raise UserError(
                f"{file.path} ({file.arch}) takes images of {shown(record.image_size)}, the data set's are "
                f"{shown(size)}: use the data set that it was trained on, or leave --dataset out"
            )
        mean_and_std = mean_and_std or (dataset.mean, dataset.std)
        resize = dataset.resize if record.image_size is None else resize
    if mean_and_std is None:
        raise UserError(
            f"{file.path} does not say with which mean and std its images are normalised: export it with "
            "export.py --dataset and the data set that it was trained on, which says it"
        )
    named = dataset.class_names if record.class_names is None and dataset else record.class_names
    record = replace(
        record,
        arch=file.arch,
        num_classes=file.num_classes,
        image_size=record.image_size or size,
        resize=resize,
        mean=tuple(mean_and_std[0]),
        std=tuple(mean_and_std[1]),
        class_names=tuple(named) if named else None,
    )
    module = FromPixels(file.network.float(), *mean_and_std).eval().requires_grad_(False)
    return Deployed(file.path, record, module)


def as_pixels(dataset: Images) -> Images:
    """The data set whose loaders give images as they are, white 1: not normalised."""
    return replace(dataset, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def class_names(record: NetworkRecord, num_classes: int) -> list[str]:
    """A name for each of so many classes: its number where the record does not name them."""
    own = record.class_names or ()
    return list(own) if len(own) == num_classes else [str(number) for number in range(num_classes)]
