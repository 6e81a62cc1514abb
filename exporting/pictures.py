"""Pictures of a folder, in batches as a network sees them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as F

from dataset.folder import pictures_below
from dataset.pictures import ENDINGS, for_evaluation, read_picture
from dataset.workers import told_of_workers
from helper.errors import UserError
from helper.sizes import ImageSize, sides


def find_pictures(folder: Path) -> list[str]:
    """The pictures below a folder by their endings, as paths from there, sorted; hidden ones are left out.

    Raises UserError if there is no such folder, no picture in it, or a link in a circle.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: name a folder with pictures")
    found = sorted(pictures_below(folder))
    if not found:
        raise UserError(f"{folder} holds no pictures: files of pictures end in {', '.join(ENDINGS)}")
    return found


class PictureBatch(NamedTuple):
    """Some pictures: which of the list they are, their pixels (N, 3, H, W) uint8, and why others that follow
    on them cannot be read, by their place in the list.
    """

    places: list[int]
    pixels: Tensor
    broken: dict[int, str]


class Pictures(Dataset):
    """The pictures of a folder by their place in a list of paths, cut to the size of a network's images.

    resize: to how many pixels the shorter side is brought before the middle is cut out; None: the picture is
    scaled to the size as a whole, whatever its proportions.
    """

    def __init__(self, folder: Path, files: Sequence[str], size: ImageSize, resize: int | None):
        self.folder, self.files, self.size, self.resize = folder, files, size, resize

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[int, Tensor | str]:
        """The place, and the pixels (3, H, W) uint8 or why they cannot be read."""
        try:
            pixels = read_picture(self.folder / self.files[place])
        except UserError as error:
            return place, str(error)
        if self.resize is not None:
            return place, for_evaluation(pixels, self.size, self.resize)
        return place, F.resize(pixels, list(sides(self.size)), antialias=True)

    def batches(self, batch_size: int, workers: int) -> Iterator[PictureBatch]:
        """All pictures in order, read by so many processes (0: by this one).

        Raises UserError if one of these is gone.
        """
        with told_of_workers(workers):
            yield from DataLoader(self, batch_size, num_workers=workers, collate_fn=self._together)

    def _together(self, found: list[tuple[int, Tensor | str]]) -> PictureBatch:
        whole = {place: pixels for place, pixels in found if isinstance(pixels, Tensor)}
        none = torch.empty(0, 3, *sides(self.size), dtype=torch.uint8)
        broken = {place: said for place, said in found if isinstance(said, str)}
        return PictureBatch(list(whole), torch.stack(list(whole.values())) if whole else none, broken)
