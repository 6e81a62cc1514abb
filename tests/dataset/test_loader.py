"""The loaders: every image once, augmented with the distribution of the classical transforms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dataset.augment import view_dict
from dataset.cifar100 import MEAN, STD
from dataset.loader import EvalLoader, TrainLoader
from helper.batch import Batch
from helper.errors import UserError
from helper.randomness import derive_seed

NORMALISATION = {"mean": MEAN, "std": STD}


def some_images(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    # No zeros, so that no image looks like the black around it.
    return np.random.default_rng(3).integers(1, 256, (count, height, width, 3), dtype=np.uint8)


def loader(count: int = 20, batch_size: int = 4, **changes: object) -> TrainLoader:
    images = changes.pop("images", None)
    images = some_images(count, 8, 8) if images is None else images
    options = {"device": "cpu", "seed": 0, **NORMALISATION, **changes}
    return TrainLoader(images, 100 + np.arange(len(images)), batch_size=batch_size, **options)


def literal_views(image: np.ndarray, padding: int, flip: bool) -> Tensor:
    """All crops of a padded image, then all crops mirrored, normalised: (views, 3, H, W)."""
    height, width, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    shifts = range(2 * padding + 1)
    crops = [padded[down : down + height, right : right + width] for down in shifts for right in shifts]
    if flip:
        crops += [crop[:, ::-1] for crop in crops]
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def to_bytes(image: Tensor) -> bytes:
    return image.contiguous(memory_format=torch.contiguous_format).numpy().tobytes()


def numbered_views(image: np.ndarray, padding: int, flip: bool) -> dict[bytes, int]:
    """The number of each view, found by its bits: views must all differ, so that each has one number."""
    views = literal_views(image, padding, flip)
    numbers = {to_bytes(view): number for number, view in enumerate(views)}
    assert len(numbers) == len(views)
    return numbers


def assert_same(batches: list[Batch], others: list[Batch]) -> None:
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.views.keys() == other.views.keys()
        for tensor, reference in zip(batch.tensors(), other.tensors(), strict=True):
            assert torch.equal(tensor, reference)


def test_all_162_views_are_equally_likely_and_literal() -> None:
    image = some_images(1)
    count = 4096  # of the same image: about 25 draws per view
    [batch] = loader(images=np.repeat(image, count, axis=0), batch_size=count).epoch(0)
    views = numbered_views(image[0], padding=4, flip=True)
    assert len(views) == 162
    seen = np.bincount([views[to_bytes(view)] for view in batch.images], minlength=162)
    expected = count / 162
    chi_square = ((seen - expected) ** 2 / expected).sum()
    # With 161 degrees of freedom the mean is 161 and the deviation 17.9.
    assert abs(chi_square - 161) < 4 * math.sqrt(2 * 161)
    assert abs(seen[:81].sum() - count / 2) < 4 * math.sqrt(count) / 2


@pytest.mark.parametrize(
    ("padding", "flip", "shape"),
    [(4, False, (32, 32)), (0, True, (32, 32)), (0, False, (8, 8)), (8, True, (64, 64))],
)
def test_images_are_views_of_the_image_their_index_names(
    padding: int, flip: bool, shape: tuple[int, int]
) -> None:
    images = some_images(5, *shape)
    views = [numbered_views(image, padding, flip) for image in images]
    seen = set()
    for epoch in range(4):
        for batch in loader(images=images, batch_size=2, padding=padding, flip=flip).epoch(epoch):
            assert torch.equal(batch.labels, batch.indices + 100)
            for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
                seen.add(views[index][to_bytes(image)])
    assert (len(seen) > 1) == (padding > 0 or flip)


def test_first_and_last_image_have_black_on_all_sides() -> None:
    # Their neighbours in memory are the ends of the canvas; every view of theirs must be drawn at least once.
    images = some_images(2, 4, 4)
    views = [numbered_views(image, 2, True) for image in images]
    seen = [set(), set()]
    for epoch in range(400):
        for batch in loader(images=images, batch_size=1, padding=2).epoch(epoch):
            index = batch.indices.item()
            seen[index].add(views[index][to_bytes(batch.images[0])])
    assert [len(numbers) for numbers in seen] == [50, 50]


def test_images_are_bit_for_bit_those_of_torchvision() -> None:
    from PIL import Image
    from torchvision import transforms

    images = some_images(30)
    convert = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    expected = torch.stack([convert(Image.fromarray(image)) for image in images])
    [batch] = EvalLoader(images, np.arange(30), device="cpu", **NORMALISATION)
    assert torch.equal(batch.images, expected)
    [batch] = loader(images=images, batch_size=30, padding=0, flip=False).epoch(0)
    assert torch.equal(batch.images, expected[batch.indices])


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 40),
    size=st.integers(1, 40),
    padding=st.integers(0, 9),
    flip=st.booleans(),
    drop_last=st.booleans(),
    views=st.sampled_from([(), ("strong",)]),
    chunk=st.sampled_from([None, 1, 2, 5, 64]),
    start=st.integers(0, 41),
)
def test_an_epoch_is_every_image_once_in_any_configuration(
    count: int,
    size: int,
    padding: int,
    flip: bool,
    drop_last: bool,
    views: tuple[str, ...],
    chunk: int | None,
    start: int,
) -> None:
    size = min(size, count)
    options = {"padding": padding, "flip": flip, "drop_last": drop_last, "views": views}
    train = loader(count, size, chunk=chunk, **options)
    batches = list(train.epoch(3))
    assert len(batches) == len(train) == (count // size if drop_last else math.ceil(count / size))
    indices = torch.cat([batch.indices for batch in batches]).tolist()
    assert len(set(indices)) == len(indices) == (count // size * size if drop_last else count)
    for batch in batches[: count // size]:
        assert len(batch.images) == len(batch.labels) == len(batch.indices) == size
    for batch in batches:
        assert tuple(batch.views) == views
        for images in (batch.images, *batch.views.values()):
            assert images.dtype == torch.float32
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert images.shape == (len(batch.labels), 3, 8, 8)
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert_same(batches[start:], list(train.epoch(3, start=start)))
    assert_same(batches, list(loader(count, size, chunk=1, **options).epoch(3)))


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    train = loader(200, 50, padding=1)
    first = list(train.epoch(0))
    list(train.epoch(7))
    torch.manual_seed(1)
    torch.rand(3)
    assert_same(first, list(train.epoch(0)))
    assert_same(first, list(loader(200, 50, padding=1).epoch(0)))
    orders = [
        tuple(torch.cat([batch.indices for batch in other]).tolist())
        for other in (first, train.epoch(1), loader(200, 50, padding=1, seed=1).epoch(0))
    ]
    assert len(set(orders)) == 3


def test_the_first_view_is_drawn_as_it_always_was() -> None:
    # Which crops a seed means is part of what a published number means: further views must not shift them.
    images = some_images(40, 8, 8)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    padded = np.stack([padded, padded[:, :, ::-1]])
    random = torch.Generator().manual_seed(derive_seed(5, "data", 2))
    order = torch.randperm(40, generator=random)
    down, right = torch.randint(9, (2, 40), generator=random)
    mirrored = torch.randint(2, (40,), generator=random)
    for views in ((), ("strong",)):
        [batch] = loader(images=images, batch_size=40, seed=5, views=views).epoch(2)
        assert torch.equal(batch.indices, order)
        for image, *drawn in zip(batch.images, order, down, right, mirrored, strict=True):
            index, y, x, is_mirrored = map(int, drawn)
            crop = padded[is_mirrored, index, y : y + 8, x : x + 8]
            assert torch.equal(image, literal_views(crop, 0, False)[0])


def test_a_further_view_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a second crop and mirroring of the same images, which are neither the first view's nor fixed."""

    def second(count: int, size: tuple[int, int], random: torch.Generator, device: torch.device):
        assert (count, size) == (3, (8, 8))
        return lambda pixels, places: pixels

    monkeypatch.setitem(view_dict, "second", second)
    images = some_images(3, 8, 8)
    numbers = [numbered_views(image, 4, True) for image in images]
    seen = set()
    for epoch in range(20):
        for batch in loader(images=images, batch_size=2, views=("second", "strong")).epoch(epoch):
            assert list(batch.views) == ["second", "strong"]
            for index, first, further in zip(
                batch.indices.tolist(), batch.images, batch.views["second"], strict=True
            ):
                seen.add((numbers[index][to_bytes(first)], numbers[index][to_bytes(further)]))
    firsts, seconds = zip(*seen, strict=True)
    assert len(seen) > 50
    assert len(set(firsts)) > 25
    assert len(set(seconds)) > 25
    assert sum(one == other for one, other in seen) < 5


def test_offsets_and_mirroring_change_from_epoch_to_epoch() -> None:
    image = some_images(1)
    views = numbered_views(image[0], 4, True)
    train = loader(images=image, batch_size=1)
    assert len({views[to_bytes(next(train.epoch(epoch)).images[0])] for epoch in range(30)}) > 20


def test_the_loader_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader().epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_images_and_labels_are_those_given() -> None:
    images = some_images(6)
    train = loader(images=images, batch_size=2)
    assert (train.n_data, train.batch_size) == (6, 2)
    assert np.array_equal(train.images.numpy(), images)
    assert train.labels.tolist() == [100, 101, 102, 103, 104, 105]


def test_tensors_read_only_arrays_and_views_are_accepted() -> None:
    images = some_images(6)
    expected = list(loader(images=images).epoch(0))
    images.flags.writeable = False
    for same in (images, torch.tensor(images), images[::-1].copy()[::-1]):
        assert_same(expected, list(loader(images=same).epoch(0)))


def test_later_changes_of_a_batch_do_not_reach_the_data() -> None:
    train = loader(chunk=2)
    expected = list(train.epoch(0))
    for batch in train.epoch(0):
        batch.images.zero_()
        batch.labels.zero_()
    assert_same(expected, list(train.epoch(0)))


@pytest.mark.parametrize("size", [21, 0, -1])
def test_impossible_batch_sizes_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"--batch_size.*{size}.*allowed"):
        loader(20, size)


def test_a_batch_larger_than_the_data_names_both_numbers() -> None:
    with pytest.raises(UserError, match="--batch_size 64 is larger than the 20 training images"):
        loader(20, 64)


@pytest.mark.parametrize("count", [1, 7, 8, 25])
def test_evaluation_sees_all_images_in_order(count: int) -> None:
    images = some_images(count)
    evaluation = EvalLoader(images, np.arange(count) % 5, device="cpu", batch_size=8, **NORMALISATION)
    for _ in range(2):
        batches = list(evaluation)
        assert len(batches) == len(evaluation) == math.ceil(count / 8)
        assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in batches)
        assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(count))
        assert torch.cat([batch.labels for batch in batches]).tolist() == [k % 5 for k in range(count)]
        expected = torch.cat([literal_views(image, 0, False) for image in images])
        assert torch.equal(torch.cat([batch.images for batch in batches]), expected)
