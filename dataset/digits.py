"""scikit-learn's handwritten digits: 1,797 real images that come with the package and need no download."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from dataset.base import DataSet, channel_statistics
from dataset.split import stratified_indices

TEST_SIZE = 360


def load_digits(folder: Path) -> DataSet:
    """The digits 0..9, scaled from 8 x 8 to 32 x 32 RGB; 1,437 training and 360 test images, always the same.

    The folder is not used. Digits are not mirrored: a mirrored 2 is not a 2.
    """
    from sklearn.datasets import load_digits as load_bundled  # slow to import, and only needed here

    bundled = load_bundled()
    labels = bundled.target.astype(np.int64)
    grey = torch.from_numpy(bundled.images)[:, None] * (255 / 16)
    scaled = functional.interpolate(grey, size=(32, 32), mode="bilinear", align_corners=False)
    images = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous().numpy()
    test = stratified_indices(labels, TEST_SIZE, seed=0)
    train = np.setdiff1d(np.arange(len(labels)), test)
    mean, std = channel_statistics(images[train])
    return DataSet(
        "digits",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        num_classes=10,
        mean=mean,
        std=std,
        flip=False,
        class_names=tuple("0123456789"),
    )
