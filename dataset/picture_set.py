"""A data set whose pictures are read from files while a network trains."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dataset.base import Channels, channel_statistics
from dataset.items import Items
from dataset.picture_settings import DEFAULT_SIZE, PictureSettings
from dataset.pictures import evaluation_resize
from dataset.stream import StreamEval, StreamLoader, default_workers
from dataset.transforms import ForEvaluation, augment_dict
from helper.sizes import ImageSize, sides

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STATISTICS_OF = 2000  # pictures, evenly spread, whose mean and deviation are those of all
EVALUATED_PIXELS = 1000 * 64 * 64  # at once


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Training and test pictures of a classification task, with the face of `dataset.base.DataSet`.

    train, test, validation: their pictures; validation is None where none are set apart. unlabelled: pictures
    whose labels are -1, on which the teacher alone teaches, or None. augment: a name of
    `dataset.transforms.augment_dict`; resize: as `dataset.pictures.for_evaluation` has it; workers: processes
    that read pictures; split_of_test: the part of the folder that became the test set, 0 where that is one of
    its own; notes: what to say before training; cache: a name of `dataset.cache.cache_dict`; cache_folder:
    where its files are, if that was asked for.
    """

    name: str
    train: Items
    test: Items
    num_classes: int
    mean: Channels
    std: Channels
    image_size: ImageSize
    resize: int
    augment: str
    flip: bool
    workers: int
    class_names: tuple[str, ...]
    validation: Items | None = None
    unlabelled: Items | None = None
    split_of_test: float = 0.0
    notes: tuple[str, ...] = ()
    hashed: str = "names, sizes and labels"
    cache: str = "none"
    cache_folder: Path | None = None

    def train_loader(
        self,
        part: Items,
        *,
        batch_size: int,
        device: torch.device,
        seed: int,
        drop_last: bool,
        views: Sequence[str],
    ) -> StreamLoader:
        """The pictures of a part in random order, read and augmented by workers."""
        return StreamLoader(
            part,
            augment_dict[self.augment](self.image_size, self.flip),
            size=self.image_size,
            batch_size=batch_size,
            device=device,
            mean=self.mean,
            std=self.std,
            seed=seed,
            drop_last=drop_last,
            views=views,
            workers=self.workers,
        )

    def eval_loader(self, part: Items, *, batch_size: int, device: torch.device) -> StreamEval:
        """The pictures of a part in order, at most as many at once as 1,000 of 64 x 64 have pixels."""
        return StreamEval(
            part,
            ForEvaluation(self.image_size, self.resize),
            size=self.image_size,
            batch_size=self.evaluated_at_once(batch_size),
            device=device,
            mean=self.mean,
            std=self.std,
            workers=self.workers,
        )

    def evaluated_at_once(self, asked: int) -> int:
        """As many pictures as were asked for, at most as many as 1,000 of 64 x 64 have pixels."""
        height, width = sides(self.image_size)
        return min(asked, max(1, EVALUATED_PIXELS // (height * width)))


def picture_set(
    name: str,
    train: Items,
    test: Items,
    class_names: Sequence[str],
    asked: PictureSettings,
    *,
    validation: Items | None = None,
    split_of_test: float = 0.0,
    notes: Sequence[str] = (),
) -> PictureSet:
    """The set of these parts, as it was asked for."""
    size = asked.image_size or DEFAULT_SIZE
    made = PictureSet(
        name,
        train,
        test,
        len(class_names),
        *IMAGENET,
        size,
        asked.val_resize or evaluation_resize(size),
        asked.augment or "crop",
        not asked.no_flip,
        default_workers() if asked.workers is None else asked.workers,
        tuple(class_names),
        validation,
        pictures_without_labels(asked),
        split_of_test,
        tuple(notes),
        cache=asked.cache,
        cache_folder=asked.cache_folder,
    )
    mean, std = normalisation_of(made, asked.normalise or "imagenet")
    return replace(made, mean=mean, std=std)


def pictures_without_labels(asked: PictureSettings) -> Items | None:
    """The pictures of --unlabelled."""
    if asked.unlabelled is None:
        return None
    from dataset.folder import load_unlabelled

    return load_unlabelled(asked.unlabelled, asked.skip_broken)


def normalisation_of(data: PictureSet, asked: str) -> tuple[Channels, Channels]:
    """Mean and std of each channel, of ImageNet, of the training pictures, or as given."""
    if asked == "imagenet":
        return IMAGENET
    if asked != "data":
        numbers = tuple(map(float, asked.split(",")))
        return numbers[:3], numbers[3:]
    chosen = np.unique(np.linspace(0, len(data.train) - 1, STATISTICS_OF).round().astype(int))
    loader = data.eval_loader(data.train.take(chosen), batch_size=100, device=torch.device("cpu"))
    return channel_statistics(torch.cat(list(loader.pixels())).permute(0, 2, 3, 1).numpy())
