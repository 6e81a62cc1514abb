"""From the settings to the data of a run, and to its loaders."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from dataset import load_dataset
from dataset.base import DataSet
from dataset.loader import EvalLoader, TrainLoader
from dataset.split import hold_out, stratified_indices
from helper.arguments import fraction, path, positive_int


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which data set, how much of it, and in what batches. Its fields are the flags of a command.

    The names that --dataset may have are those of `dataset.dataset_dict`: commands give them to `add_flags`.
    """

    dataset: Annotated[str, str, "the data set (default cifar100)"] = "cifar100"
    data_folder: Annotated[Path, path, "where the data set is"] = Path("data")
    batch_size: Annotated[int, positive_int, "images per step"] = 64
    val_split: Annotated[
        float,
        fraction,
        "part of the training set held out to select the best epoch (default 0: the test set selects)",
    ] = 0.0
    train_size: Annotated[
        int | None, positive_int, "train on a fixed stratified slice of N images", {"metavar": "N"}
    ] = None
    eval_batch_size: Annotated[
        int, positive_int, "images per batch of an evaluation, halved by itself where memory is short"
    ] = 1000


@dataclass(frozen=True, eq=False)
class Data:
    """A data set with what `--train_size` and `--val_split` make of its training images.

    images, labels: the training part (n, S, S, 3), (n,); validation: the held-out part or None.
    """

    dataset: DataSet
    images: np.ndarray
    labels: np.ndarray
    validation: tuple[np.ndarray, np.ndarray] | None

    @property
    def num_classes(self) -> int:
        """Classes of the data set."""
        return self.dataset.num_classes

    @property
    def has_unlabelled(self) -> bool:
        """Whether training images are without a label, which is then -1."""
        return bool((self.labels < 0).any())

    def fingerprint(self) -> str:
        """SHA-256 of all images and labels that a run sees: a resumed run must see the same."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        sha = hashlib.sha256()
        held_out = self.validation or ()
        for array in (
            self.images,
            self.labels,
            *held_out,
            self.dataset.test_images,
            self.dataset.test_labels,
        ):
            sha.update(f"{array.dtype} {array.shape} ".encode())
            sha.update(np.ascontiguousarray(array))
        return sha.hexdigest()


def load_data(settings: DataSettings, seed: int) -> Data:
    """The data that the settings ask for; UserError if it is not there, or cannot be divided as asked.

    seed: decides which images --val_split holds out; the slice of --train_size is the same for all seeds.
    """
    dataset = load_dataset(settings.dataset, settings.data_folder)
    images, labels = dataset.train_images, dataset.train_labels
    if settings.train_size is not None:
        kept = stratified_indices(labels, settings.train_size, seed=0)
        images, labels = images[kept], labels[kept]
    validation = None
    if settings.val_split:
        kept, held_out = hold_out(labels, settings.val_split, seed)
        validation = images[held_out], labels[held_out]
        images, labels = images[kept], labels[kept]
    return Data(dataset, images, labels, validation)


def train_loader(
    data: Data,
    settings: DataSettings,
    seed: int,
    device: torch.device,
    drop_last: bool,
    views: Sequence[str] = (),
) -> TrainLoader:
    """The augmented training images, on the device, with the further views of these names."""
    return TrainLoader(
        data.images,
        data.labels,
        batch_size=settings.batch_size,
        device=device,
        mean=data.dataset.mean,
        std=data.dataset.std,
        padding=data.dataset.padding,
        flip=data.dataset.flip,
        seed=seed,
        drop_last=drop_last,
        views=views,
    )


def eval_loader(
    dataset: DataSet, images: np.ndarray, labels: np.ndarray, settings: DataSettings, device: torch.device
) -> EvalLoader:
    """Images in order, unchanged, on the device."""
    return EvalLoader(
        images,
        labels,
        device=device,
        mean=dataset.mean,
        std=dataset.std,
        batch_size=settings.eval_batch_size,
    )


def eval_loaders(
    data: Data, settings: DataSettings, device: torch.device
) -> tuple[EvalLoader, EvalLoader | None]:
    """The test set, and the validation set if part of the training set is held out."""
    dataset = data.dataset
    test = eval_loader(dataset, dataset.test_images, dataset.test_labels, settings, device)
    validation = eval_loader(dataset, *data.validation, settings, device) if data.validation else None
    return test, validation
