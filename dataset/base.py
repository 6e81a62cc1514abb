"""What a data set is."""

from dataclasses import dataclass

import numpy as np

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
IMAGE_SIZES = (32, 64)
Channels = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images of a classification task, and how its training images are augmented.

    Images: (n, H, W, 3) uint8, H = W = 32 or 64; labels: (n,) int64 in 0..num_classes-1. mean and std: per
    channel, in units where white is 1. padding: pixels of black on each side from which random crops are cut;
    flip: whether a mirrored image still shows the same class. class_names: one per class, in the order of
    their numbers, or None where they are not known.
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

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.train_images.shape[1]


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
