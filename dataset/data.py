"""From the settings to the data of a run, and to its loaders."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch

from dataset import is_pictures, load_dataset
from dataset.base import DataSet, Part
from dataset.loader import EvalLoader, TrainLoader, check_batch_size
from dataset.picture_settings import PictureSettings
from dataset.split import hold_out, stratified_indices
from helper.arguments import fraction, options_of, path, positive_int
from helper.errors import UserError
from helper.sizes import ImageSize

if TYPE_CHECKING:  # they import torchvision, which arrays do without
    from dataset.picture_set import PictureSet
    from dataset.stream import StreamEval, StreamLoader


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
        "part of the training set held out to select the best epoch (default 0: the test set selects); of a "
        "folder of classes without train and val: the part, always the same, that is the test set",
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

    train: the part that is trained on; validation: the held-out part or None.
    """

    dataset: "DataSet | PictureSet"
    train: Part
    validation: Part | None

    @property
    def num_classes(self) -> int:
        """Classes of the data set."""
        return self.dataset.num_classes

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64: of the training part."""
        return self.train.labels

    @property
    def has_unlabelled(self) -> bool:
        """Whether training images are without a label, which is then -1."""
        return bool((self.labels < 0).any())

    def resolved(self) -> dict[str, Any]:
        """What the settings came to: the hash, and for pictures from files what it is of, and their size."""
        found = {"data_sha256": self.fingerprint()}
        if self.dataset.hashed is None:
            return found
        return found | {"data_sha256_of": self.dataset.hashed, "image_size": self.dataset.image_size}

    def fingerprint(self) -> str:
        """SHA-256 of all images and labels that a run sees, of files that of their names, sizes and labels: a
        resumed run must see the same.
        """
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        sha = hashlib.sha256()
        for part in (self.train, self.validation, self.dataset.test):
            if part is not None:
                part.update(sha)
        return sha.hexdigest()


def load_data(settings: DataSettings, seed: int, pictures: PictureSettings | None = None) -> Data:
    """The data that the settings ask for; UserError if it is not there, or cannot be divided as asked.

    seed: decides which images --val_split holds out; the slice of --train_size is the same for all seeds.
    pictures: what is asked of pictures from files.
    """
    dataset = load_dataset(settings.dataset, settings.data_folder, pictures, settings.val_split)
    train, validation = dataset.train, dataset.validation
    if settings.train_size is not None:
        train = train.take(stratified_indices(train.labels, settings.train_size, seed=0))
    if settings.val_split and not dataset.split_of_test:
        if validation is not None:
            raise UserError(
                f"--val_split {settings.val_split:g} is for data without a validation set, and "
                f"{settings.data_folder} has one beside its test set: leave it out"
            )
        kept, held_out = hold_out(train.labels, settings.val_split, seed)
        train, validation = train.take(kept), train.take(held_out)
    if dataset.unlabelled is not None:
        from dataset.items import Joined

        train = Joined(train, dataset.unlabelled)
    return Data(dataset, train, validation)


def cached(data: Data, settings: DataSettings, device: torch.device) -> Data:
    """The data with what --cache asks to be kept of its pictures; this may take as long as an epoch.

    Raises UserError if that does not fit, or if an epoch of it would have no batch.
    """
    if data.dataset.cache is None:
        return data
    from dataset.cache import cache_dict

    check_batch_size(settings.batch_size, len(data.train))
    parts = {"train": data.train, "validation": data.validation, "test": data.dataset.test}
    dataset, kept = cache_dict[data.dataset.cache](
        data.dataset,
        {role: part for role, part in parts.items() if part is not None},
        device,
        settings.data_folder,
    )
    return Data(replace(dataset, test=kept["test"]), kept["train"], kept.get("validation"))


def load_test_data(
    values: Mapping[str, Any], size: ImageSize | None, resize: int | None
) -> "tuple[DataSet | PictureSet, DataSettings]":
    """The data set that the flags of a command name which looks at networks, and what was asked of it.

    values: of the flags; size, resize: for which the networks were made, the default for pictures from files.
    Raises UserError as `load_data` does.
    """
    settings = DataSettings(**options_of(DataSettings, values))
    pictures = PictureSettings(**options_of(PictureSettings, values))
    if is_pictures(settings.dataset):
        pictures = pictures.sized_as(size, resize)
    dataset = load_dataset(settings.dataset, settings.data_folder, pictures, settings.val_split)
    if settings.val_split and not dataset.split_of_test:
        raise UserError(
            f"--val_split {settings.val_split:g}: the data set {settings.dataset} has a test set of its own, "
            "so "
            "here there is nothing to be split: leave it out"
        )
    return dataset, settings


def train_loader(
    data: Data,
    settings: DataSettings,
    seed: int,
    device: torch.device,
    drop_last: bool,
    views: Sequence[str] = (),
) -> "TrainLoader | StreamLoader":
    """The augmented training images, on the device, with the further views of these names."""
    return data.dataset.train_loader(
        data.train,
        batch_size=settings.batch_size,
        device=device,
        seed=seed,
        drop_last=drop_last,
        views=views,
    )


def eval_loader(
    dataset: "DataSet | PictureSet", part: Part, settings: DataSettings, device: torch.device
) -> "EvalLoader | StreamEval":
    """Images of a part in order, unchanged, on the device."""
    return dataset.eval_loader(part, batch_size=settings.eval_batch_size, device=device)


def eval_loaders(
    data: Data, settings: DataSettings, device: torch.device
) -> "tuple[EvalLoader | StreamEval, EvalLoader | StreamEval | None]":
    """The test set, and the validation set if part of the training set is held out."""
    test = eval_loader(data.dataset, data.dataset.test, settings, device)
    held_out = data.validation
    return test, None if held_out is None else eval_loader(data.dataset, held_out, settings, device)
