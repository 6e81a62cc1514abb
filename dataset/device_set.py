"""Pictures whose middles are on the device, and are cropped there, whole batches at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from dataset.augment import view_dict
from dataset.cached import Cached
from dataset.crop import draw, resized_crop
from dataset.loader import EvalLoader, Normalise, check_batch_size
from dataset.picture_set import PictureSet
from dataset.pictures import middle_start
from helper.batch import Batch
from helper.errors import UserError
from helper.randomness import derive_seed, generator
from helper.sizes import ImageSize, sides

# from how many, the sides of what is kept and of what is made, and a stream, to windows (n, 4)
Windows = Callable[[int, Sequence[int], Sequence[int], torch.Generator], Tensor]


def crop(count: int, kept: Sequence[int], made: Sequence[int], random: torch.Generator) -> Tensor:
    """Random ones, see `dataset.crop.draw`."""
    return draw(count, kept, random)


def none(count: int, kept: Sequence[int], made: Sequence[int], random: torch.Generator) -> Tensor:
    """The middle, as evaluation sees it."""
    return torch.tensor([*map(middle_start, kept, made), *made]).expand(count, 4)


# the augmentations of `dataset.transforms.augment_dict` that a device can do: their windows, and whether they
# mirror
window_dict: dict[str, tuple[Windows, bool]] = {"crop": (crop, True), "none": (none, False)}


class DeviceLoader:
    """Batches of a part in random order, cropped and mirrored on its device; the face of TrainLoader.

    part: its pixels are a tensor (n, H, W, 3) uint8 on the device; windows: what is cut out of each; size: to
    which that is brought; flip: mirror a picture with probability one half; views: as those of StreamLoader,
    each with windows of its own.
    """

    def __init__(
        self,
        part: Cached,
        windows: Windows,
        *,
        size: ImageSize,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        flip: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        views: Sequence[str] = (),
    ):
        self.n_data, self.batch_size = len(part), batch_size
        check_batch_size(batch_size, self.n_data)
        self.device = part.pixels.device
        self.seed, self.drop_last, self.size, self.flip = seed, drop_last, sides(size), flip
        self.views = {name: view_dict[name] for name in views}
        self.labels = torch.from_numpy(part.labels).to(self.device)
        self._windows = windows
        self._pixels, self._rows = part.pixels, torch.from_numpy(part.rows).to(self.device)
        self._normalise = Normalise(self.size, mean, std, self.device)

    def __len__(self) -> int:
        """Batches per epoch."""
        if self.drop_last:
            return self.n_data // self.batch_size
        return -(-self.n_data // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on: a function of the seed and the epoch alone.

        Images (B, 3, H, W) float32, channels-last. All draws are made on the CPU before the first batch, so
        that nothing waits for the device within the epoch.
        """
        random = generator("cpu", derive_seed(self.seed, "data", epoch))
        order = torch.randperm(self.n_data, generator=random).to(self.device, non_blocking=True)
        rows, labels = self._rows[order], self.labels[order]
        own = self._draw(random)
        further = {}
        for name, make in self.views.items():
            stream = generator("cpu", derive_seed(self.seed, name, epoch))
            further[name] = (self._draw(stream), make(self.n_data, self.size, stream, self.device))
        stop = min(self.n_data, len(self) * self.batch_size)
        for begin in range(start * self.batch_size, stop, self.batch_size):
            part = slice(begin, min(begin + self.batch_size, stop))
            pixels = self._pixels.index_select(0, rows[part])
            views = {
                name: self._normalise(change(self._cut(pixels, drawn, part), part))
                for name, (drawn, change) in further.items()
            }
            images = self._normalise(self._cut(pixels, own, part))
            yield Batch(images, labels[part], order[part], views)

    def _draw(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Windows and mirrorings of an epoch, on the device."""
        windows = self._windows(self.n_data, self._pixels.shape[1:3], self.size, random)
        flips = torch.rand(self.n_data, generator=random) < (0.5 if self.flip else 0.0)
        return windows.to(self.device, non_blocking=True), flips.to(self.device, non_blocking=True)

    def _cut(self, pixels: Tensor, drawn: tuple[Tensor, Tensor], part: slice) -> Tensor:
        """(B, h, w, 3) uint8, as workers give them."""
        windows, flips = (of_epoch[part] for of_epoch in drawn)
        return resized_crop(pixels, windows, flips, self.size).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True, eq=False)
class OnDevice(PictureSet):
    """A set of pictures whose parts are `Cached` on the device."""

    @classmethod
    def of(cls, data: PictureSet) -> "OnDevice":
        """The same set; UserError if its augmentation is one for workers only."""
        if data.augment not in window_dict:
            raise UserError(
                f"--augment {data.augment} is not made on the device: with --cache device allowed are "
                f"{' and '.join(window_dict)} there; use --cache disk"
            )
        return cls(**{field.name: getattr(data, field.name) for field in fields(data)})

    def train_loader(
        self,
        part: Cached,
        *,
        batch_size: int,
        device: torch.device,
        seed: int,
        drop_last: bool,
        views: Sequence[str],
    ) -> DeviceLoader:
        """The pictures of a part in random order, augmented where they are."""
        windows, mirrors = window_dict[self.augment]
        return DeviceLoader(
            part,
            windows,
            size=self.image_size,
            batch_size=batch_size,
            mean=self.mean,
            std=self.std,
            flip=mirrors and self.flip,
            seed=seed,
            drop_last=drop_last,
            views=views,
        )

    def eval_loader(self, part: Cached, *, batch_size: int, device: torch.device) -> EvalLoader:
        """The middles of a part in order, at most as many at once as of other pictures."""
        height, width = sides(self.image_size)
        top, left = map(middle_start, part.pixels.shape[1:3], (height, width))
        seen = part.pixels[:, top : top + height, left : left + width]  # a view, not a second copy
        if not np.array_equal(part.rows, np.arange(len(seen))):
            seen = seen[torch.from_numpy(part.rows).to(seen.device)]
        return EvalLoader(
            seen,
            part.labels,
            device=device,
            mean=self.mean,
            std=self.std,
            batch_size=self.evaluated_at_once(batch_size),
        )
