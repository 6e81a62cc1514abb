"""Parts of a data set of whose pictures the middles are kept as pixels."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dataset.items import Items
from dataset.pictures import middle_sides
from dataset.stream import Pool, Reader
from dataset.transforms import ForCache
from helper.errors import UserError, one_line
from helper.files import whole_file
from helper.sizes import ImageSize

AT_ONCE = 32  # pictures that a worker hands over together


class Mapped:
    """Pictures (n, H, W, 3) uint8 in a .npy file, of which memory holds what is being read."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _pixels(self) -> Tensor:
        return torch.from_numpy(np.load(self.path, mmap_mode="c"))  # torch wants memory that can be written

    def __getitem__(self, row: int) -> Tensor:
        """(H, W, 3) uint8."""
        return self._pixels[row]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}  # a worker that is sent this opens the file itself


class Cached:
    """A part (`dataset.items.Items`) that reads its pictures from their kept middles.

    original: the part that they were made of, whose labels and hash these have too; pixels: (n, H, W, 3)
    uint8 as a tensor or `Mapped`; rows: (m,) in which of them each picture is, default all in order.
    """

    def __init__(self, original: Items, pixels: Tensor | Mapped, rows: np.ndarray | None = None):
        self.original, self.pixels = original, pixels
        self.rows = np.arange(len(original)) if rows is None else rows

    @property
    def labels(self) -> np.ndarray:
        """(m,) int64."""
        return self.original.labels

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> Tensor:
        """The middle of a picture, (3, H, W) uint8, RGB, a view of (H, W, 3)."""
        return self.pixels[int(self.rows[index])].permute(2, 0, 1)

    def take(self, indices: np.ndarray) -> "Cached":
        """The part of these pictures, in their order."""
        return Cached(self.original.take(indices), self.pixels, self.rows[indices])

    def update(self, sha: Any) -> None:
        """Give a hash what the original part gives it."""
        self.original.update(sha)


def shape_of(items: Items, size: ImageSize, resize: int) -> tuple[int, int, int, int]:
    """(n, H, W, 3) of the middles of a part's pictures."""
    return (len(items), *middle_sides(size, resize), 3)


def read_middles(
    items: Items, size: ImageSize, resize: int, workers: int, what: str
) -> Iterator[tuple[slice, Tensor]]:
    """The middles of a part's pictures in order, some at once: their places, and (B, H, W, 3) uint8.

    A bar shows pictures per second; what: it is of.
    """
    everything = [(index, (0,)) for index in range(len(items))]
    plan = [everything[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE)]
    pool = Pool(Reader(items, ForCache(size, resize)), workers, pin=False)
    bar = tqdm(total=len(items), desc=f"caching {what}", unit=" images", leave=False, disable=None)
    first = 0
    with bar:
        for (pixels,) in pool.batches(plan):
            yield slice(first, first + len(pixels)), pixels.permute(0, 2, 3, 1)
            first += len(pixels)
            bar.update(len(pixels))


def in_memory(
    items: Items, size: ImageSize, resize: int, workers: int, what: str, device: torch.device
) -> Cached:
    """A part whose middles are on a device.

    On a CPU workers inherit the tensor, or torch shares it with those that it has to send it to.
    """
    pixels = torch.empty(shape_of(items, size, resize), dtype=torch.uint8, device=device)
    for places, middles in read_middles(items, size, resize, workers, what):
        pixels[places] = middles.to(device)
    return Cached(items, pixels)


def write_middles(items: Items, size: ImageSize, resize: int, workers: int, what: str, path: Path) -> None:
    """Write the middles of a part to a .npy file, which is there once it is whole.

    Raises UserError where a picture cannot be read, or the file not be written. Whoever writes the same file
    meanwhile writes the same bytes.
    """
    try:
        # in order, and not by a map of the file: a disk that is full then is an error, and not the end
        with whole_file(path) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape_of(items, size, resize)}
            np.lib.format.write_array_header_1_0(file, header)
            for _, middles in read_middles(items, size, resize, workers, what):
                file.write(middles.contiguous().numpy())
    except OSError as error:
        raise UserError(
            f"--cache disk cannot write {path} ({one_line(error.strerror or error)}): free the disk or mend "
            "the permissions, name another --cache_folder, or leave --cache out"
        ) from error


def check_middles(path: Path, shape: tuple[int, ...]) -> None:
    """Raise UserError unless a file holds pictures of that shape, and nothing else."""
    try:
        found = np.lib.format.open_memmap(path, mode="r")
        said = f"{found.dtype} {found.shape}"
        right = found.dtype == np.uint8 and found.shape == shape and found.flags.c_contiguous
        right = right and found.offset + found.nbytes == path.stat().st_size
    except (ValueError, OSError) as error:  # no .npy file, a cut one, no permission
        right, said = False, one_line(error)[:100]
    if not right:
        raise UserError(
            f"{path} is no cache of {shape[0]} pictures of {shape[1]} x {shape[2]} pixels ({said}): delete "
            "it, and it will be made again"
        )
