"""Loaders that read pictures from files while a network trains: an epoch is a function of its seed alone.

The order of an epoch and one seed per picture are drawn before its first batch; whoever reads a picture draws
what its augmentation needs from that seed. So neither the number of workers nor the batch at which an epoch
begins can change a bit.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from dataset.augment import view_dict
from dataset.items import Items
from dataset.loader import Normalise, check_batch_size
from dataset.workers import apart_from_the_trainer, more_than_cores, start_method, told_of_workers
from helper.batch import Batch
from helper.errors import UserError
from helper.randomness import derive_seed, generator
from helper.sizes import ImageSize, sides

MOST_WORKERS = 8
LARGEST_SEED = 2**62
AHEAD = 2  # batches that each worker reads before they are asked for: they lie in shared memory, often 64 MB
Transform = Callable[[Tensor], Tensor]
Item = tuple[int, tuple[int, ...]]


def default_workers() -> int:
    """As many processes as this one may use cores, at most 8."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


class Reader(Dataset):
    """Batches of (index, seeds) as uint8 pictures: one (B, 3, H, W) for each seed of an item.

    transform: from a picture (3, h, w) uint8 to one (3, H, W), drawing from torch's own generator.
    What cannot be read is returned as the UserError that says so, since an error raised in a worker
    loses its one line.
    """

    def __init__(self, items: Items, transform: Transform):
        self.items, self.transform = items, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, batch: Sequence[Item]) -> list[list[Tensor]] | UserError:
        with torch.random.fork_rng(devices=[]):
            try:
                return [self._views(*item) for item in batch]
            except UserError as error:
                return error

    def _views(self, index: int, seeds: Sequence[int]) -> list[Tensor]:
        pixels = self.items.read(index)
        views = []
        for seed in seeds:
            torch.default_generator.manual_seed(seed)
            views.append(self.transform(pixels))
        return views


def _collate(samples: list[list[Tensor]] | UserError) -> list[Tensor] | UserError:
    return samples if isinstance(samples, UserError) else default_collate(samples)


class _Plan:
    """What DataLoader takes as its batch sampler: the batches of the next pass."""

    def __init__(self) -> None:
        self.batches: Iterable[list[Item]] = ()

    def __iter__(self) -> Iterator[list[Item]]:
        return iter(self.batches)


class Pool:
    """The workers of a loader, which stay from one pass over the pictures to the next."""

    def __init__(self, reader: Reader, workers: int, pin: bool):
        self._plan = _Plan()
        self.workers = workers
        with more_than_cores():
            self._loader = DataLoader(
                reader,
                batch_sampler=self._plan,
                num_workers=workers,
                collate_fn=_collate,
                pin_memory=pin,
                persistent_workers=workers > 0,
                prefetch_factor=AHEAD if workers else None,
                worker_init_fn=apart_from_the_trainer,
                multiprocessing_context=start_method() if workers else None,
                generator=torch.Generator(),  # so that starting them draws nothing from the run's own stream
            )

    def batches(self, plan: Iterable[list[Item]]) -> Iterator[list[Tensor]]:
        """For each batch of a plan its pictures; UserError if one cannot be read, or a worker is gone."""
        self._plan.batches = plan
        with told_of_workers(self.workers):
            with more_than_cores():
                batches = iter(self._loader)
            for pixels in batches:
                if isinstance(pixels, UserError):
                    raise pixels
                yield pixels


def as_rows(pixels: Tensor, device: torch.device) -> Tensor:
    """Pictures (B, 3, H, W) of workers as (B, H, W, 3) on the device."""
    return pixels.to(device, non_blocking=True).permute(0, 2, 3, 1)


class StreamLoader:
    """Batches of a part in random order, read, decoded and augmented by workers; the face of TrainLoader.

    items: the pictures; transform: what is made of each, see `Reader`; size: of the pictures that it makes;
    views: names of the further views that each batch shall have (`dataset.augment`), which begin with a
    transform of their own of the same picture. The device gets uint8 and normalises.
    """

    def __init__(
        self,
        items: Items,
        transform: Transform,
        *,
        size: ImageSize,
        batch_size: int,
        device: torch.device | str,
        mean: Sequence[float],
        std: Sequence[float],
        seed: int = 0,
        drop_last: bool = False,
        views: Sequence[str] = (),
        workers: int = 0,
    ):
        self.n_data, self.batch_size = len(items), batch_size
        check_batch_size(batch_size, self.n_data)
        self.device = torch.device(device)
        self.seed, self.drop_last, self.size = seed, drop_last, sides(size)
        self.views = {name: view_dict[name] for name in views}
        self.labels = torch.from_numpy(items.labels).to(self.device)
        self._normalise = Normalise(self.size, mean, std, self.device)
        self._pool = Pool(Reader(items, transform), workers, pin=self.device.type == "cuda")

    def __len__(self) -> int:
        """Batches per epoch."""
        if self.drop_last:
            return self.n_data // self.batch_size
        return -(-self.n_data // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on: a function of the seed and the epoch alone.

        Images (B, 3, H, W) float32, channels-last.
        """
        random = generator("cpu", derive_seed(self.seed, "data", epoch))
        order = torch.randperm(self.n_data, generator=random)
        streams = [random, *(generator("cpu", derive_seed(self.seed, name, epoch)) for name in self.views)]
        seeds = torch.stack(
            [torch.randint(LARGEST_SEED, (self.n_data,), generator=s) for s in streams], dim=1
        )
        changes = [
            self.views[name](self.n_data, self.size, stream, self.device)
            for name, stream in zip(self.views, streams[1:], strict=True)
        ]
        stop = min(self.n_data, len(self) * self.batch_size)
        places = [
            slice(first, min(first + self.batch_size, stop))
            for first in range(start * self.batch_size, stop, self.batch_size)
        ]
        plan = (
            list(zip(order[part].tolist(), map(tuple, seeds[part].tolist()), strict=True)) for part in places
        )
        for part, pixels in zip(places, self._pool.batches(plan), strict=True):
            own, *further = (as_rows(one, self.device) for one in pixels)
            indices = order[part].to(self.device, non_blocking=True)
            views = {
                name: self._normalise(change(view, part))
                for name, change, view in zip(self.views, changes, further, strict=True)
            }
            yield Batch(self._normalise(own), self.labels[indices], indices, views)


class StreamEval:
    """Batches of a part in order, as the network sees them in evaluation; the face of EvalLoader.

    items, transform, size: as those of StreamLoader; the transform must draw nothing.
    """

    def __init__(
        self,
        items: Items,
        transform: Transform,
        *,
        size: ImageSize,
        batch_size: int,
        device: torch.device | str,
        mean: Sequence[float],
        std: Sequence[float],
        workers: int = 0,
    ):
        self.n_data, self.batch_size = len(items), batch_size
        self.device = torch.device(device)
        self.labels = torch.from_numpy(items.labels).to(self.device)
        self._indices = torch.arange(self.n_data, device=self.device)
        self._normalise = Normalise(sides(size), mean, std, self.device)
        self._pool = Pool(Reader(items, transform), workers, pin=self.device.type == "cuda")

    def __len__(self) -> int:
        """Batches in all."""
        return -(-self.n_data // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        begin = 0
        for pixels in self.pixels():
            part = slice(begin, begin + len(pixels))
            images = self._normalise(as_rows(pixels, self.device))
            yield Batch(images, self.labels[part], self._indices[part])
            begin = part.stop

    def pixels(self) -> Iterator[Tensor]:
        """The pictures (B, 3, H, W) uint8, on the CPU."""
        everything = range(self.n_data)
        begins = range(0, self.n_data, self.batch_size)
        plan = ([(index, (0,)) for index in everything[i : i + self.batch_size]] for i in begins)
        for (pixels,) in self._pool.batches(plan):
            yield pixels
