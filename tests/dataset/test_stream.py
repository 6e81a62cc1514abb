"""The stream: an epoch is a function of seed and epoch, whatever the workers and the batch it begins at."""

from pathlib import Path

import pytest
import torch

from dataset.folder import scan
from dataset.picture_set import IMAGENET
from dataset.pictures import for_evaluation
from dataset.stream import StreamEval, StreamLoader
from dataset.transforms import ForEvaluation, augment_dict
from helper.errors import UserError
from tests.pictures import write_classes

SIZE = "24x32"
MEAN, STD = IMAGENET


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of seven pictures."""
    place = tmp_path_factory.mktemp("pictures")
    write_classes(place, each=7)
    return place


def loader(folder: Path, augment: str = "crop", **settings: object) -> StreamLoader:
    """A loader of its pictures."""
    _, files = scan(folder)
    asked = {"size": SIZE, "batch_size": 4, "device": "cpu", "mean": MEAN, "std": STD, "seed": 3} | settings
    return StreamLoader(files, augment_dict[augment](SIZE, True), **asked)


def bits(batches) -> list[bytes]:
    """Everything in some batches."""
    return [b"".join(tensor.numpy().tobytes() for tensor in batch.tensors()) for batch in batches]


@pytest.mark.parametrize("augment", ["crop", "crop_pad", "randaugment"])
def test_workers_and_starts_change_no_bit(folder: Path, augment: str) -> None:
    views = ("strong",)
    state = torch.get_rng_state()
    whole = bits(loader(folder, augment, views=views).epoch(5))
    assert torch.equal(torch.get_rng_state(), state)  # the run's own stream was not touched
    assert len(set(whole)) == len(whole) == 6
    for workers, start in ((0, 3), (1, 0), (3, 2)):
        made = loader(folder, augment, views=views, workers=workers)
        next(iter(made.epoch(0)))  # an epoch that is left in the middle, as a stop leaves it
        assert bits(made.epoch(5, start)) == whole[start:]
    assert bits(loader(folder, augment, views=views).epoch(6)) != whole
    assert bits(loader(folder, augment, views=views, seed=4).epoch(5)) != whole
    plain = [batch._replace(views={}) for batch in loader(folder, augment, views=views).epoch(5)]
    assert bits(plain) == bits(loader(folder, augment).epoch(5))  # a view leaves the other as it is


def test_every_picture_once_with_its_label_and_its_pixels(folder: Path) -> None:
    _, files = scan(folder)
    made = loader(folder, "none")
    seen = []
    for batch in made.epoch(0):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for image, label, index in zip(batch.images, batch.labels, batch.indices.tolist(), strict=True):
            pixels = for_evaluation(files.read(index), SIZE).float() / 255
            assert label == files.labels[index]
            assert torch.allclose(
                image, (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
            )
            seen.append(index)
    assert sorted(seen) == list(range(21)) and seen != sorted(seen)
    assert len(list(loader(folder, drop_last=True).epoch(0))) == len(loader(folder, drop_last=True)) == 5


def test_evaluation_is_in_order(folder: Path) -> None:
    _, files = scan(folder)
    made = StreamEval(
        files, ForEvaluation(SIZE), size=SIZE, batch_size=8, device="cpu", mean=MEAN, std=STD, workers=2
    )
    for _ in range(2):
        batches = list(made)
        assert torch.cat([batch.labels for batch in batches]).tolist() == files.labels.tolist()
        assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(21))
        assert [len(batch.labels) for batch in batches] == [8, 8, 5] and len(made) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_is_gone_is_told_in_one_line(tmp_path: Path, workers: int) -> None:
    write_classes(tmp_path)
    made = loader(tmp_path, batch_size=2, workers=workers)
    (tmp_path / "bee/1.png").unlink()
    with pytest.raises(UserError, match=r"bee/1\.png cannot be read as a picture .*--skip_broken") as error:
        list(made.epoch(0))
    assert "\n" not in str(error.value)


def test_a_batch_that_is_too_large(folder: Path) -> None:
    with pytest.raises(
        UserError, match="--batch_size is 22, and there are 21 training images: allowed are 1 to 21"
    ):
        loader(folder, batch_size=22)


def test_crops_have_the_size_and_flips_can_be_had_or_not(folder: Path) -> None:
    _, files = scan(folder)
    pixels = files.read(0)
    for name, make in augment_dict.items():
        torch.manual_seed(0)
        made = [make(SIZE, False)(pixels) for _ in range(20)]
        assert {one.shape for one in made} == {(3, 24, 32)} and {one.dtype for one in made} == {
            torch.uint8
        }, name
    ramp = torch.arange(32, dtype=torch.uint8).expand(3, 24, 32)

    def rising(flip: bool) -> bool:
        row = augment_dict["crop_pad"](SIZE, flip)(ramp)[0, 12].int()
        return bool((row.diff()[8:24] > 0).all())

    assert all(rising(False) for _ in range(20))
    assert 8 < sum(rising(True) for _ in range(40)) < 32
