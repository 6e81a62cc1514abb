"""From the flags to the loaders of a run."""

import argparse
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dataset import load_dataset
from dataset.base import DataSet
from dataset.loader import EvalLoader, TrainLoader
from dataset.split import hold_out, stratified_indices
from helper.arguments import Parser, fraction, positive_int


@dataclass(frozen=True)
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

    def fingerprint(self) -> str:
        """SHA-256 of all images and labels that a run sees: a resumed run must see the same."""
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


def load_data(args: argparse.Namespace) -> Data:
    """The data that the flags ask for; UserError if it is not there, or cannot be divided as asked."""
    dataset = load_dataset(args.dataset, args.data_folder)
    images, labels = dataset.train_images, dataset.train_labels
    if args.train_size is not None:
        kept = stratified_indices(labels, args.train_size, seed=0)
        images, labels = images[kept], labels[kept]
    validation = None
    if args.val_split:
        kept, held_out = hold_out(labels, args.val_split, seed=args.seed)
        validation = images[held_out], labels[held_out]
        images, labels = images[kept], labels[kept]
    return Data(dataset, images, labels, validation)


def train_loader(data: Data, args: argparse.Namespace, device: torch.device, drop_last: bool) -> TrainLoader:
    """The augmented training images, on the device."""
    return TrainLoader(
        data.images,
        data.labels,
        batch_size=args.batch_size,
        device=device,
        mean=data.dataset.mean,
        std=data.dataset.std,
        padding=data.dataset.padding,
        flip=data.dataset.flip,
        seed=args.seed,
        drop_last=drop_last,
    )


def eval_loader(dataset: DataSet, images: np.ndarray, labels: np.ndarray, device: torch.device) -> EvalLoader:
    """Images in order, unchanged, on the device."""
    return EvalLoader(images, labels, device=device, mean=dataset.mean, std=dataset.std)


def eval_loaders(data: Data, device: torch.device) -> tuple[EvalLoader, EvalLoader | None]:
    """The test set, and the validation set if part of the training set is held out."""
    test = eval_loader(data.dataset, data.dataset.test_images, data.dataset.test_labels, device)
    validation = eval_loader(data.dataset, *data.validation, device) if data.validation else None
    return test, validation


def add_data_arguments(parser: Parser, dataset_names: Iterable[str], training: bool = True) -> None:
    """--dataset and where it is; for training also batch size, slice and validation split."""
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", default="cifar100", choices=list(dataset_names), help="default cifar100")
    group.add_argument(
        "--data_folder", type=Path, default=Path("data"), help="where the data set is (default data)"
    )
    if not training:
        return
    group.add_argument("--batch_size", type=positive_int, default=64, help="images per step (default 64)")
    group.add_argument(
        "--val_split",
        type=fraction,
        default=0.0,
        help="part of the training set held out to select the best epoch (default 0: the test set selects)",
    )
    group.add_argument(
        "--train_size", type=positive_int, metavar="N", help="train on a fixed stratified slice of N images"
    )
