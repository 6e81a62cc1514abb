"""Crops of whole batches: torchvision's pixels, and torchvision's distribution of windows."""

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from dataset.crop import AREA, RATIO, draw, resized_crop
from helper.randomness import generator

DRAWS = 4000


@pytest.mark.parametrize("kept", [(40, 40), (27, 44), (60, 33)])
@pytest.mark.parametrize("made", [(24, 24), (24, 40), (50, 20)])
def test_pixels_are_those_of_torchvision(kept: tuple[int, int], made: tuple[int, int]) -> None:
    random = generator("cpu", 1)
    pixels = torch.randint(256, (24, *kept, 3), generator=random, dtype=torch.uint8)
    windows = draw(24, kept, random)
    windows[0] = torch.tensor([0, 0, *kept])
    windows[1] = torch.tensor([3, 5, 1, 1])
    flips = torch.arange(24) % 2 == 0
    cut = resized_crop(pixels, windows, flips, made)
    assert cut.shape == (24, *made, 3) and cut.dtype == torch.float32
    for one, window, flip, ours in zip(pixels, windows.tolist(), flips, cut, strict=True):
        image = one.permute(2, 0, 1).float()
        theirs = F.resized_crop(image, *window, list(made), antialias=True)
        theirs = theirs.flip(2) if flip else theirs
        assert (ours.permute(2, 0, 1) - theirs).abs().max() < 1e-3


def test_a_window_of_the_size_is_copied_bit_for_bit() -> None:
    pixels = torch.randint(256, (3, 30, 40, 3), generator=generator("cpu", 0), dtype=torch.uint8)
    windows = torch.tensor([[3, 5, 24, 32]]).expand(3, 4)
    cut = resized_crop(pixels, windows, torch.tensor([False, True, False]), (24, 32))
    assert torch.equal(cut[0], pixels[0, 3:27, 5:37].float())
    assert torch.equal(cut[1], pixels[1, 3:27, 5:37].flip(1).float())


# the last two are so narrow and so wide that some draws, or all, take the middle
@pytest.mark.parametrize("sides", [(256, 256), (183, 256), (64, 300), (300, 40)])
def test_windows_are_distributed_as_those_of_torchvision(sides: tuple[int, int]) -> None:
    ours = draw(DRAWS, sides, generator("cpu", 3))
    assert (ours >= 0).all() and (ours[:, 2:] >= 1).all()
    assert (ours[:, 0] + ours[:, 2] <= sides[0]).all() and (ours[:, 1] + ours[:, 3] <= sides[1]).all()
    state = torch.get_rng_state()
    torch.manual_seed(4)
    image, cropped = torch.empty(3, *sides, dtype=torch.uint8), v2.RandomResizedCrop(8, AREA, RATIO)
    drawn = [cropped.make_params([image]) for _ in range(DRAWS)]
    torch.set_rng_state(state)
    theirs = torch.tensor([[one[key] for key in ("top", "left", "height", "width")] for one in drawn])
    of = {
        "top": lambda w: w[:, 0],
        "left": lambda w: w[:, 1],
        "height": lambda w: w[:, 2],
        "width": lambda w: w[:, 3],
        "area": lambda w: w[:, 2] * w[:, 3],
        "ratio": lambda w: w[:, 3] / w[:, 2],
        "middle": lambda w: 2 * w[:, 0] + w[:, 2],
    }
    for name, value in of.items():
        assert ks_2samp(value(ours), value(theirs)).pvalue > 1e-4, name


def test_where_no_window_fits_the_largest_of_an_allowed_ratio_is_taken() -> None:
    wide, narrow = draw(50, (10, 400), generator("cpu", 0)), draw(50, (400, 10), generator("cpu", 0))
    assert wide.unique(dim=0).tolist() == [[0, 193, 10, 13]]
    assert narrow.unique(dim=0).tolist() == [[193, 0, 13, 10]]
