"""The strong view: each operation to the bit Pillow's, the whole one the literal version, image by image."""

import platform

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.v2 import functional

from dataset.augment import CUTOUT_COLOUR, OPERATIONS, Strong, draw_squares
from dataset.loader import TrainLoader


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


# What each operation does to a single image with a magnitude: torchvision hands all of them to Pillow.
LITERAL = {
    "autocontrast": lambda image, _: functional.autocontrast(image),
    "brightness": functional.adjust_brightness,
    "saturation": functional.adjust_saturation,
    "contrast": functional.adjust_contrast,
    "equalise": lambda image, _: functional.equalize(image),
    "identity": lambda image, _: image,
    "posterise": lambda image, v: functional.posterize(image, int(v)),
    "rotate": functional.rotate,
    "sharpness": functional.adjust_sharpness,
    "shear_x": lambda image, v: affine(image, 1, v, 0, 0, 1, 0),
    "shear_y": lambda image, v: affine(image, 1, 0, 0, v, 1, 0),
    "solarise": functional.solarize,
    "translate_x": lambda image, v: affine(image, 1, 0, v * image.width, 0, 1, 0),
    "translate_y": lambda image, v: affine(image, 1, 0, 0, 0, 1, v * image.height),
}
RANGES = {
    "autocontrast": (0, 1),
    "brightness": (0.05, 0.95),
    "saturation": (0.05, 0.95),
    "contrast": (0.05, 0.95),
    "equalise": (0, 1),
    "identity": (0, 1),
    "posterise": (4, 8),
    "rotate": (-30, 30),
    "sharpness": (0.05, 0.95),
    "shear_x": (-0.3, 0.3),
    "shear_y": (-0.3, 0.3),
    "solarise": (0, 256),
    "translate_x": (-0.3, 0.3),
    "translate_y": (-0.3, 0.3),
}


def literal_cutout(image: Image.Image, share: float, x: float, y: float) -> Image.Image:
    """A square painted over, from three numbers uniform in 0 to 1, as the published code does it."""
    side = share * 0.5 * image.width
    left = int(max(0, image.width + (1 - image.width) * x - side / 2))
    top = int(max(0, image.height + (1 - image.height) * y - side / 2))
    corners = (left, top, min(image.width, left + side), min(image.height, top + side))
    painted = image.copy()
    ImageDraw.Draw(painted).rectangle(corners, (125, 123, 114))
    return painted


def natural_images(count: int, size: int) -> np.ndarray:
    """Smooth images, some dark, some pale, some of few colours, some of a single one in some channels."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    images = np.stack([np.asarray(Image.fromarray(c).resize((size, size), 2)) for c in coarse])
    images = images + random.integers(-6, 7, images.shape)
    images[::5] = images[::5] * 0.4 + 20
    images[1::5] = images[1::5] // 64 * 64
    images[2::10, ..., 1] = 90
    images[7::10] = random.integers(0, 256, (len(images[7::10]), 1, 1, 3))
    images[9] = 0
    images[9, 3, 4] = 255, 1, 0
    return images.clip(0, 255).astype(np.uint8)


def assert_same(pixels: np.ndarray, expected: np.ndarray) -> None:
    """To the bit; where Pillow's mixtures may be compiled to another rounding, almost all of it."""
    assert pixels.dtype == expected.dtype == np.uint8
    if platform.machine().lower() in ("x86_64", "amd64"):
        assert np.array_equal(pixels, expected)
    else:
        assert np.mean(pixels != expected) < 0.02


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillows_to_the_bit(name: str, size: int) -> None:
    images = natural_images(200, size)
    operation = OPERATIONS[name]
    assert (operation.smallest, operation.largest) == RANGES[name]
    share = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    share[:2] = torch.tensor([0, 1 - 2**-53])
    magnitudes = operation.smallest + (operation.largest - operation.smallest) * share
    changed = operation.apply(torch.from_numpy(images.copy()), operation.prepare(magnitudes, (size, size)))
    expected = np.stack(
        [
            np.asarray(LITERAL[name](Image.fromarray(image), magnitude))
            for image, magnitude in zip(images, magnitudes.tolist(), strict=True)
        ]
    )
    assert_same(changed.numpy(), expected)
    assert (name == "identity") == np.array_equal(images, expected)


def strong(images: np.ndarray, seed: int, device: str = "cpu") -> Tensor:
    view = Strong(len(images), images.shape[1:3], torch.Generator().manual_seed(seed), device)
    return view(torch.tensor(images, device=device), slice(0, len(images))).cpu()


@pytest.mark.parametrize("size", [32, 64])
def test_the_strong_view_is_the_literal_one(size: int) -> None:
    images = natural_images(300, size)
    random = torch.Generator().manual_seed(3)
    kinds = torch.randint(14, (2, 300), generator=random).T.tolist()
    shares = torch.rand(2, 300, dtype=torch.float64, generator=random).T.tolist()
    squares = torch.rand(3, 300, dtype=torch.float64, generator=random).T.tolist()
    for image, own_kinds, own_shares, square, changed in zip(
        images, kinds, shares, squares, strong(images, seed=3).numpy(), strict=True
    ):
        literal = Image.fromarray(image)
        for kind, share in zip(own_kinds, own_shares, strict=True):
            name = list(LITERAL)[kind]
            low, high = RANGES[name]
            literal = LITERAL[name](literal, low + (high - low) * share)
        assert_same(changed, np.asarray(literal_cutout(literal, *square)))


def test_the_pixels_given_stay_as_they_are() -> None:
    pixels = torch.from_numpy(natural_images(30, 32))
    before = pixels.clone()
    Strong(30, (32, 32), torch.Generator().manual_seed(0), "cpu")(pixels, slice(0, 30))
    assert torch.equal(pixels, before)


def test_all_pairs_of_operations_are_equally_likely() -> None:
    count = 40_000
    view = Strong(count, (32, 32), torch.Generator().manual_seed(0), "cpu")
    drawn = torch.zeros(2, count, dtype=torch.int64)
    for turns, numbers in zip(view.rounds, drawn, strict=True):
        assert torch.equal(torch.cat([turn.places for turn in turns]).sort().values, torch.arange(count))
        for number, turn in enumerate(turns):
            numbers[turn.places] = number
    seen = torch.bincount(14 * drawn[0] + drawn[1], minlength=196).double()
    expected = count / 196
    chi_square = ((seen - expected) ** 2 / expected).sum().item()
    # With 195 degrees of freedom the mean is 195 and the deviation 19.7.
    assert abs(chi_square - 195) < 4 * 19.7
    factors = view.rounds[1][1].parameters  # of brightness
    assert 0.05 <= factors.min() < 0.051
    assert 0.949 < factors.max() <= 0.95
    assert abs(factors.mean() - 0.5) < 4 * 0.26 / len(factors) ** 0.5
    masks = view.rounds[0][6].parameters  # of posterise: 8 has no breadth
    assert masks.unique().tolist() == [0b11110000, 0b11111000, 0b11111100, 0b11111110]


def test_squares_have_all_sides_up_to_half_the_width_and_lie_everywhere() -> None:
    boxes = draw_squares(20_000, (32, 32), torch.Generator().manual_seed(0)).double()
    left, top, right, bottom = boxes.T
    assert boxes.min() == 0
    assert boxes.max() == 32
    inside = (left > 0) & (top > 0) & (right < 32) & (bottom < 32)
    sides = (right - left)[inside]
    assert torch.equal(sides, (bottom - top)[inside])
    assert set(sides.tolist()) == set(map(float, range(16)))
    assert abs((right - left).mean() - 7.5) < 0.5
    # Every pixel is painted now and then, the middle more often than the border.
    painted = np.zeros((32, 32))
    for x0, y0, x1, y1 in boxes.int().tolist():
        painted[y0 : y1 + 1, x0 : x1 + 1] += 1
    assert painted.min() > 100
    assert painted[16, 16] > 1.5 * painted[0, 0]


def test_every_image_has_its_square_in_the_published_grey() -> None:
    images = np.zeros((500, 32, 32, 3), np.uint8)
    is_grey = (strong(images, seed=1) == torch.tensor(CUTOUT_COLOUR)).all(dim=3)
    assert is_grey.any(dim=(1, 2)).all()
    assert 0.03 < is_grey.float().mean() < 0.15


def batches(views: tuple[str, ...] = ("strong",), start: int = 0, **changes: object) -> list[Tensor]:
    options = {"seed": 0, "batch_size": 7, "device": "cpu", "mean": (0.5,) * 3, "std": (0.2,) * 3, **changes}
    epoch = options.pop("epoch", 0)
    train = TrainLoader(natural_images(50, 32), np.arange(50), views=views, **options)
    return [batch.views["strong"] for batch in train.epoch(epoch, start)]


def test_the_strong_view_is_a_function_of_seed_and_epoch() -> None:
    first = batches()
    torch.manual_seed(5)
    for same in (batches(), batches(chunk=4), batches(chunk=64)):
        assert all(torch.equal(one, other) for one, other in zip(first, same, strict=True))
    for chunk in (1, 3):
        later = batches(start=5, chunk=chunk)
        assert all(torch.equal(one, other) for one, other in zip(first[5:], later, strict=True))
    for other in (batches(epoch=1), batches(seed=1)):
        assert not torch.equal(first[0], other[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_strong_view_is_the_same_on_a_gpu() -> None:
    images = natural_images(400, 32)
    assert torch.equal(strong(images, seed=2), strong(images, seed=2, device="cuda"))
