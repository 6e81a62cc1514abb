"""Loaders that keep a data set on the training device and make whole batches there."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from dataset.augment import view_dict
from helper.batch import Batch
from helper.errors import UserError
from helper.randomness import derive_seed, generator

CHUNK_ON_CUDA = 64


class TrainLoader:
    """Batches in random order, randomly cropped and mirrored: the classical transforms, for whole batches.

    images: (n, H, W, 3) uint8; labels: (n,) integers; numpy arrays or tensors. mean, std: per channel, in
    units where white is 1. padding: black pixels on each side, from which crops of H x W are cut; flip:
    mirror an image with probability one half. chunk: how many batches are augmented at once (1 on a CPU,
    where a batch then stays in the cache; 64 on a GPU, where launching is what costs). views: names of the
    further views that each batch shall have (see `dataset.augment`). Raises UserError if a batch is larger
    than the data.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor,
        *,
        batch_size: int,
        device: torch.device | str,
        mean: Sequence[float],
        std: Sequence[float],
        padding: int = 4,
        flip: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        views: Sequence[str] = (),
        chunk: int | None = None,
    ):
        self.n_data = len(images)
        self.batch_size = _check_batch_size(batch_size)
        if batch_size > self.n_data:
            raise UserError(
                f"--batch_size {batch_size} is larger than the {self.n_data} training images: "
                f"allowed are 1 to {self.n_data}"
            )
        self.device = torch.device(device)
        self.seed = seed
        self.drop_last = drop_last
        self.chunk = chunk or (CHUNK_ON_CUDA if self.device.type == "cuda" else 1)
        self.padding = padding
        self.flip = flip
        self.views = {name: view_dict[name] for name in views}
        _, self.height, self.width, _ = images.shape
        self.labels = _tensor(labels).to(self.device, torch.int64)
        self._canvas = self._paint(_tensor(images))
        self._windows = self._all_windows()
        self._normalise = Normalise((self.height, self.width), mean, std, self.device)

    @property
    def images(self) -> Tensor:
        """(n, H, W, 3) uint8: the images as they were given, on the device."""
        return self._canvas[: self.n_data, self.padding :, self.padding :]

    def __len__(self) -> int:
        """Batches per epoch."""
        if self.drop_last:
            return self.n_data // self.batch_size
        return -(-self.n_data // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on: a function of the seed and the epoch alone.

        Images (B, 3, H, W) float32, channels-last. All draws are made before the first batch, so that nothing
        waits for the device within the epoch.
        """
        random = generator("cpu", derive_seed(self.seed, "data", epoch))
        drawn = torch.randperm(self.n_data, generator=random)
        order, windows = self._to_device(drawn), self._to_device(self._draw_windows(drawn, random))
        views = {name: self._draw_view(name, drawn, epoch) for name in self.views}
        labels = self.labels[order]
        stop = min(self.n_data, len(self) * self.batch_size)
        for first in range(start * self.batch_size, stop, self.chunk * self.batch_size):
            last = min(first + self.chunk * self.batch_size, stop)
            images = self._normalise(self._windows.index_select(0, windows[first:last]))
            further = {name: view(slice(first, last)) for name, view in views.items()}
            for begin in range(first, last, self.batch_size):
                end = min(begin + self.batch_size, last)
                own = slice(begin - first, end - first)
                yield Batch(
                    images[own],
                    labels[begin:end],
                    order[begin:end],
                    {name: view[own] for name, view in further.items()},
                )

    def _draw_view(self, name: str, order: Tensor, epoch: int) -> Callable[[slice], Tensor]:
        """A further view of the epoch's images: from places in their order to normalised images.

        It has a crop, a mirroring and a random stream of its own: the other views stay as they are.
        """
        random = generator("cpu", derive_seed(self.seed, name, epoch))
        windows = self._to_device(self._draw_windows(order, random))
        augment = self.views[name](self.n_data, (self.height, self.width), random, self.device)

        def view(places: slice) -> Tensor:
            pixels = self._windows.index_select(0, windows[places])
            return self._normalise(augment(pixels.unflatten(2, (self.width, 3)), places))

        return view

    def _draw_windows(self, order: Tensor, random: torch.Generator) -> Tensor:
        """For each image of an order (n,), the number of its window on the canvas (n,), mirrored or not.

        Drawn on the CPU whatever the device, so that a seed means the same batches everywhere.
        """
        down, right = torch.randint(2 * self.padding + 1, (2, self.n_data), generator=random)
        place = order
        if self.flip:
            place = order + self.n_data * torch.randint(2, (self.n_data,), generator=random)
        row = place * (self.height + self.padding) + down
        return row * (self.width + self.padding) + right

    def _to_device(self, draws: Tensor) -> Tensor:
        return draws.to(self.device, non_blocking=True)

    def _paint(self, images: Tensor) -> Tensor:
        """All images, and all mirrored images, on black: (n or 2n, + 1, H + padding, W + padding, 3) uint8.

        Each image has its black above and to the left only. The black below it is the one above the next
        image, the black to its right the one left of the next row; a black image at the end serves the last.
        """
        copies = 2 if self.flip else 1
        shape = (copies * self.n_data + 1, self.height + self.padding, self.width + self.padding, 3)
        canvas = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        inner = canvas[:, self.padding :, self.padding :]
        inner[: self.n_data] = images.to(self.device)
        if self.flip:
            inner[self.n_data : -1] = inner[: self.n_data].flip(2)
        return canvas

    def _all_windows(self) -> Tensor:
        """Every window of H x W on the canvas, as (number of windows, H, W * 3) views of the same memory.

        One index then chooses image, mirroring and crop at once, and a row of pixels is copied in one piece.
        """
        line = (self.width + self.padding) * 3
        reach = (self.height - 1) * line + self.width * 3
        count = (self._canvas.numel() - reach) // 3 + 1
        return self._canvas.as_strided((count, self.height, self.width * 3), (3, line, 1))


class EvalLoader:
    """All images in order, normalised and nothing else.

    images: (n, H, W, 3) uint8; labels: (n,) integers; numpy arrays or tensors. Iteration gives batches of
    (B, 3, H, W) float32, channels-last, on the device; the last one may be smaller.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor,
        *,
        device: torch.device | str,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int = 1000,
    ):
        self.n_data = len(images)
        self.batch_size = _check_batch_size(batch_size)
        self.device = torch.device(device)
        self.images = _tensor(images).to(self.device)
        self.labels = _tensor(labels).to(self.device, torch.int64)
        self._indices = torch.arange(self.n_data, device=self.device)
        self._normalise = Normalise(self.images.shape[1:3], mean, std, self.device)

    def __len__(self) -> int:
        """Batches in all."""
        return -(-self.n_data // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for begin in range(0, self.n_data, self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield Batch(self._normalise(self.images[part]), self.labels[part], self._indices[part])


class Normalise:
    """From uint8 pixels to (pixel / 255 - mean) / std, bit for bit as torchvision's transforms on a CPU."""

    def __init__(
        self, size: Sequence[int], mean: Sequence[float], std: Sequence[float], device: torch.device | str
    ):
        self.height, self.width = size
        # One number per pixel and channel: a broadcast over three channels only would not be vectorised.
        self._mean = torch.tensor(mean, dtype=torch.float32).repeat(self.height * self.width).to(device)
        self._std = torch.tensor(std, dtype=torch.float32).repeat(self.height * self.width).to(device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) or (B, H, W * 3) uint8 to (B, 3, H, W) float32, channels-last."""
        values = pixels.flatten(1).float().div_(255).sub_(self._mean).div_(self._std)
        return values.view(-1, self.height, self.width, 3).permute(0, 3, 1, 2)


def _tensor(values: np.ndarray | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    # torch knows neither read-only memory nor negative strides: such arrays are copied.
    return torch.from_numpy(np.require(values, requirements=("C", "W")))


def check_batch_size(batch_size: int, count: int) -> None:
    """Raise UserError unless an epoch of so many images has a whole batch."""
    if not 1 <= batch_size <= count:
        raise UserError(
            f"--batch_size is {batch_size}, and there are {count} training images: allowed are 1 to {count}"
        )


def _check_batch_size(batch_size: int) -> int:
    if batch_size < 1:
        raise UserError(f"--batch_size is {batch_size}, allowed is 1 or more, for example 64")
    return batch_size
