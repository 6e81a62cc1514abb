"""What a data set is: its parts, what is known of it, and the loaders that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from helper.sizes import ImageSize, size_of

if TYPE_CHECKING:
    import torch

    from dataset.loader import EvalLoader, TrainLoader

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
IMAGE_SIZES = (32, 64)
Channels = tuple[float, float, float]


class Part(Protocol):
    """A part of a data set: images, in whatever form, and their labels (n,) int64."""

    labels: np.ndarray

    def __len__(self) -> int:
        """How many images there are."""

    def take(self, indices: np.ndarray) -> "Part":
        """The part of these images, in their order."""

    def update(self, sha: Any) -> None:
        """Give a hash all that tells this part from another."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """A part that is held in memory: images (n, H, W, 3) uint8 and labels (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Arrays":
        """The part of these images, in their order."""
        return Arrays(self.images[indices], self.labels[indices])

    def update(self, sha: Any) -> None:
        """Give a hash all pixels and labels."""
        for array in (self.images, self.labels):
            sha.update(f"{array.dtype} {array.shape} ".encode())
            sha.update(np.ascontiguousarray(array))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images of a classification task, and how its training images are augmented.

    Images: (n, H, W, 3) uint8, H = W = 32 or 64; labels: (n,) int64 in 0..num_classes-1. mean and std: per
    channel, in units where white is 1. padding: pixels of black on each side from which random crops are cut;
    flip: whether a mirrored image still shows the same class. class_names: one per class, in the order of
    their numbers, or None where they are not known. notes: what to say of it before training.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    mean: Channels
    std: Channels
    padding: int = 4
    flip: bool = True
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    # what `dataset.picture_set.PictureSet` has beside
    validation: ClassVar[None] = None
    resize: ClassVar[None] = None
    split_of_test: ClassVar[float] = 0.0
    hashed: ClassVar[None] = None
    cache: ClassVar[None] = None
    unlabelled: ClassVar[None] = None

    @property
    def image_size(self) -> ImageSize:
        """Height and width of the images, in pixels."""
        return size_of(*self.train_images.shape[1:3])

    @property
    def train(self) -> Arrays:
        """The training images."""
        return Arrays(self.train_images, self.train_labels)

    @property
    def test(self) -> Arrays:
        """The test images."""
        return Arrays(self.test_images, self.test_labels)

    def train_loader(
        self,
        part: Arrays,
        *,
        batch_size: int,
        device: "torch.device",
        seed: int,
        drop_last: bool,
        views: Sequence[str],
    ) -> "TrainLoader":
        """The images of a part in random order, augmented on the device."""
        from dataset.loader import TrainLoader

        return TrainLoader(
            part.images,
            part.labels,
            batch_size=batch_size,
            device=device,
            mean=self.mean,
            std=self.std,
            padding=self.padding,
            flip=self.flip,
            seed=seed,
            drop_last=drop_last,
            views=views,
        )

    def eval_loader(self, part: Arrays, *, batch_size: int, device: "torch.device") -> "EvalLoader":
        """The images of a part in order, unchanged, on the device."""
        from dataset.loader import EvalLoader

        return EvalLoader(
            part.images, part.labels, device=device, mean=self.mean, std=self.std, batch_size=batch_size
        )


def channel_statistics(images: np.ndarray) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel of uint8 images (n, H, W, 3), in units where white is 1.

    The standard deviation of a channel that has one value only is given as 1, so that it can be divided by;
    unless all three have, which is a data set without any content.
    """
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(images), 1000):  # a float copy of a whole data set would not fit everywhere
        part = images[start : start + 1000]
        for channel in range(3):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    if std.any():
        std[std == 0] = 1
    return tuple(mean.tolist()), tuple(std.tolist())
