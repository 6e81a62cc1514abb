"""Caches: evaluation has the pixels of the whole pictures, and nothing but the seed decides on a crop."""

import errno
import pickle
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.cache import cache_dict, disk
from dataset.cached import Cached, in_memory
from dataset.data import Data, DataSettings, cached, eval_loaders, load_data, train_loader
from dataset.device_set import OnDevice
from dataset.picture_set import PictureSet
from dataset.picture_settings import PictureSettings
from dataset.pictures import evaluation_resize, for_evaluation, middle, middle_sides
from dataset.stream import StreamLoader
from helper.errors import UserError
from helper.sizes import ImageSize
from tests.dataset.test_stream import bits
from tests.pictures import write_classes, write_picture

CPU = torch.device("cpu")
SIZE = "24x32"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of seven training pictures and of two test pictures, of several sizes."""
    place = tmp_path_factory.mktemp("pictures")
    write_classes(place / "train", each=7)
    write_classes(place / "val", height=31, width=77)
    write_picture(place / "val/ant/tall.png", height=90, width=35)
    return place


@pytest.fixture
def folder(pictures: Path, tmp_path: Path) -> Path:
    """The same, of one test alone."""
    return Path(shutil.copytree(pictures, tmp_path / "pictures"))


def asked_of(folder: Path, **asked: object) -> tuple[Data, DataSettings]:
    """The data as it was asked for, without a cache yet."""
    settings = DataSettings(dataset="imagefolder", data_folder=folder, batch_size=4)
    return load_data(settings, 3, PictureSettings(**{"image_size": SIZE, "workers": 0} | asked)), settings


def loaded(folder: Path, **asked: object) -> Data:
    """The data with its cache."""
    return cached(*asked_of(folder, **asked), CPU)


def on_gpu(folder: Path, **asked: object) -> Data:
    """The data as a GPU has it, on this CPU."""
    data, _ = asked_of(folder, **asked)
    dataset = OnDevice.of(data.dataset)
    train, test = (
        in_memory(part, dataset.image_size, dataset.resize, 0, "", CPU) for part in (data.train, dataset.test)
    )
    return Data(replace(dataset, test=test), train, None)


def training(data: Data, views: Sequence[str] = (), seed: int = 3):
    """The training loader, with batches of 4."""
    return train_loader(data, DataSettings(batch_size=4), seed, CPU, False, views)


@pytest.mark.parametrize("size", [224, 128, 32, 17, "24x32", "63x20", 2])
@pytest.mark.parametrize("resize", [None, 5, 41, 230])
def test_evaluation_from_the_middle_is_that_of_the_picture(size: ImageSize, resize: int | None) -> None:
    random = torch.Generator().manual_seed(0)
    resize = evaluation_resize(size) if resize is None else resize
    for sides in ((40, 48), (48, 41), (33, 95), (64, 64), (300, 31), (37, 38)):
        pixels = torch.randint(256, (3, *sides), generator=random, dtype=torch.uint8)
        kept = middle(pixels, size, resize)
        assert kept.shape[1:] == middle_sides(size, resize)
        assert torch.equal(for_evaluation(kept, size, resize), for_evaluation(pixels, size, resize)), sides


def test_the_middle_has_the_margin_of_the_field() -> None:
    assert middle_sides(224, evaluation_resize(224)) == (256, 256)


@pytest.mark.parametrize("cache", cache_dict)
@pytest.mark.parametrize("asked", [{}, {"val_resize": 50}, {"normalise": "data"}])
def test_evaluation_and_hash_are_the_same_with_each_cache(folder: Path, cache: str, asked: dict) -> None:
    plain, kept = loaded(folder, **asked), loaded(folder, cache=cache, **asked)
    expected = bits(eval_loaders(plain, DataSettings(), CPU)[0])
    assert bits(eval_loaders(kept, DataSettings(), CPU)[0]) == expected
    assert kept.fingerprint() == plain.fingerprint()
    assert np.array_equal(kept.labels, plain.labels)
    gpu = on_gpu(folder, **asked)
    assert bits(eval_loaders(gpu, DataSettings(), CPU)[0]) == expected
    assert gpu.fingerprint() == plain.fingerprint()
    part = gpu.dataset.test.take(np.array([5, 0, 3]))
    batch = next(iter(gpu.dataset.eval_loader(part, batch_size=9, device=CPU)))
    whole = torch.cat([one.images for one in eval_loaders(plain, DataSettings(), CPU)[0]])
    assert torch.equal(batch.images, whole[[5, 0, 3]])
    assert batch.labels.tolist() == plain.dataset.test.labels[[5, 0, 3]].tolist()


@pytest.mark.parametrize("cache", ["device", "disk"])
@pytest.mark.parametrize("augment", ["crop", "randaugment"])
def test_workers_and_starts_change_no_bit(folder: Path, cache: str, augment: str) -> None:
    asked = {"cache": cache, "augment": augment}
    data = loaded(folder, **asked)
    whole = bits(training(data, ("strong",)).epoch(5))
    assert len(set(whole)) == 6
    assert bits(training(loaded(folder), ("strong",)).epoch(5)) != whole
    for workers, start in ((1, 0), (3, 2)):
        made = training(loaded(folder, workers=workers, **asked), ("strong",))
        assert isinstance(made, StreamLoader)
        next(iter(made.epoch(0)))  # an epoch that is left in the middle, as a stop leaves it
        assert bits(made.epoch(5, start)) == whole[start:]
    assert bits(training(data, ("strong",)).epoch(6)) != whole


def test_disk_and_memory_give_the_same_batches(folder: Path) -> None:
    first, second = (training(loaded(folder, cache=cache)) for cache in ("device", "disk"))
    assert bits(first.epoch(1)) == bits(second.epoch(1))


def test_the_loader_of_a_device(folder: Path) -> None:
    state = torch.get_rng_state()
    made = training(on_gpu(folder), ("strong",))
    whole = bits(made.epoch(5))
    assert len(set(whole)) == len(whole) == len(made) == 6
    for start in range(6):
        assert bits(training(on_gpu(folder), ("strong",)).epoch(5, start)) == whole[start:]
    assert torch.equal(torch.get_rng_state(), state)  # the run's own stream was not touched
    assert (
        bits(made.epoch(6)) != whole and bits(training(on_gpu(folder), ("strong",), seed=4).epoch(5)) != whole
    )
    plain = [batch._replace(views={}) for batch in made.epoch(5)]
    assert bits(plain) == bits(training(on_gpu(folder)).epoch(5))  # a view leaves the other as it is
    batches = list(made.epoch(0))
    assert sorted(torch.cat([batch.indices for batch in batches]).tolist()) == list(range(21))
    for batch in batches:
        assert batch.labels.tolist() == made.labels[batch.indices].tolist()
        assert batch.images.shape == batch.views["strong"].shape == (len(batch.labels), 3, 24, 32)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_a_device_crops_the_picture_it_says(folder: Path) -> None:
    """With --augment none every picture is that of evaluation; a crop's mean colour is near its picture's."""
    data = on_gpu(folder, augment="none", normalise="0,0,0,1,1,1")
    seen = torch.cat(
        [batch.images for batch in data.dataset.eval_loader(data.train, batch_size=9, device=CPU)]
    )
    for batch in training(data).epoch(0):
        assert torch.equal(batch.images, seen[batch.indices])
    rising = torch.arange(36, dtype=torch.uint8)[:, None].expand(30, 27, 36, 3) * 3
    labels = np.zeros(30, np.int64)

    class Same:
        def __init__(self) -> None:
            self.labels = labels

        def __len__(self) -> int:
            return 30

    for flip, falling in ((True, range(5, 26)), (False, range(1))):
        dataset = replace(data.dataset, augment="crop", flip=flip)
        loader = dataset.train_loader(
            Cached(Same(), rising), batch_size=30, device=CPU, seed=0, drop_last=False, views=()
        )
        (batch,) = loader.epoch(0)
        rows = batch.images[:, 0, 12]
        assert int((rows[:, 0] > rows[:, -1]).sum()) in falling
        assert len(rows.round(decimals=3).unique(dim=0)) > 20


def test_a_cache_is_made_once_and_can_be_sent_to_a_worker(folder: Path, monkeypatch) -> None:
    first = loaded(folder, cache="disk")
    files = sorted((folder / ".cache").iterdir())
    assert [path.name.split("-")[0] for path in files] == ["test", "train"]
    assert np.load(files[1]).shape == (21, 27, 32, 3)
    sent = pickle.dumps(first.train)
    assert len(sent) < 10_000
    assert torch.equal(pickle.loads(sent).read(3), first.train.read(3))
    monkeypatch.setattr("dataset.cache.write_middles", None)
    monkeypatch.setattr("dataset.cache.check_folder", None)  # nor does a folder matter that is not written
    again = loaded(folder, cache="disk")
    assert torch.equal(again.train.read(3), first.train.read(3))
    assert f"in {folder / '.cache'}" in again.dataset.notes[-1] and "28 pictures of 27 x 32" in str(
        again.dataset.notes
    )


def test_other_pictures_sizes_and_parts_have_other_files(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere/deep"
    for asked in ({}, {"val_resize": 60}, {"image_size": 32}, {"augment": "none"}):
        loaded(folder, cache="disk", cache_folder=there, **asked)
    write_picture(folder / "train/ant/new.png")
    loaded(folder, cache="disk", cache_folder=there)
    shutil.rmtree(folder / "val")
    shutil.copytree(folder / "train", folder / "val")
    loaded(folder, cache="disk", cache_folder=there)
    found = [path.name.split("-")[0] for path in there.iterdir()]
    assert sorted(found) == ["test"] * 4 + ["train"] * 4
    assert not (folder / ".cache").exists()


def test_two_that_build_at_once_and_one_that_fails(folder: Path) -> None:
    data, _ = asked_of(folder, cache="disk")
    begun, failed = threading.Barrier(2), []

    class Slow:
        """A part both of whose builders are at work at the same time."""

        def __init__(self, part) -> None:
            self.part, self.labels, self.update = part, part.labels, part.update

        def __len__(self) -> int:
            return len(self.part)

        def read(self, index: int):
            if index == 20:
                begun.wait(timeout=60)
            return self.part.read(index)

    def build() -> None:
        try:
            disk(data.dataset, {"train": Slow(data.train)}, CPU, folder)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(list((folder / ".cache").iterdir())) == 1
    kept = loaded(folder, cache="disk")
    assert torch.equal(kept.train.read(20), middle(data.train.read(20), SIZE, kept.dataset.resize))

    class Broken(Slow):
        """A part whose last picture is gone."""

        def read(self, index: int):
            if index == 20:
                raise UserError("gone")
            return self.part.read(index)

    shutil.rmtree(folder / ".cache")
    with pytest.raises(UserError, match=r"^gone$"):
        disk(data.dataset, {"train": Broken(data.train)}, CPU, folder)
    assert not list((folder / ".cache").iterdir())


def test_a_disk_that_is_full_leaves_nothing(folder: Path, monkeypatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    said = refusal(*asked_of(folder, cache="disk"))
    assert "--cache disk cannot write" in said and "No space left on device" in said
    assert not list((folder / ".cache").iterdir())


@pytest.mark.parametrize(
    "damage", ["cut", "long", "empty", "text", "type", "shape", "zip", "header", "folder"]
)
def test_a_file_that_is_not_what_its_name_says(folder: Path, damage: str) -> None:
    loaded(folder, cache="disk")
    (path,) = (folder / ".cache").glob("train-*")
    whole = path.read_bytes()
    pixels = np.load(path)
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "zip":
        with open(path, "wb") as file:
            np.savez(file, pixels=pixels)
    elif damage in ("type", "shape"):
        np.save(path, pixels.view(np.int8) if damage == "type" else pixels[:-1])
    else:
        path.write_bytes(
            {"cut": whole[:-1], "long": whole + b"0", "empty": b"", "text": b"no", "header": whole[:20]}[
                damage
            ]
        )
    with pytest.raises(
        UserError, match=r"train-\w+\.npy is no cache of 21 pictures of 27 x 32 pixels"
    ) as error:
        loaded(folder, cache="disk")
    assert "delete it" in str(error.value) and "\n" not in str(error.value)


def refusal(data: Data, settings: DataSettings, device: torch.device = CPU) -> str:
    """What is said to someone who asks for what cannot be."""
    with pytest.raises(UserError) as error:
        cached(data, settings, device)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_is_refused_with_numbers(folder: Path, monkeypatch) -> None:
    usage = shutil.disk_usage(folder)._replace(free=50_000)
    monkeypatch.setattr("dataset.cache.shutil.disk_usage", lambda place: usage)
    monkeypatch.setattr("dataset.cache.free_memory", lambda device: 100_000)
    said = refusal(*asked_of(folder, cache="disk"))
    assert "needs 0.0726 MB" in said and "28 pictures of 27 x 32 pixels, and 0.05 MB are free: free" in said
    assert not (folder / ".cache").exists()
    (folder / ".cache").mkdir()
    (folder / ".cache/.test-0.npy.x.tmp").write_bytes(b"0" * 4000)
    assert "may have left 0.004 MB in its .*.tmp" in refusal(*asked_of(folder, cache="disk"))
    said = refusal(*asked_of(folder, cache="device"))
    assert "needs 0.0726 MB" in said and "allowed are 40% of the 0.1 MB that are free on cpu" in said


def test_what_cannot_be_is_refused_before_anything_is_kept(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("dataset.cached.Pool", None)
    for cache in ("none", "device"):
        said = refusal(*asked_of(folder, cache=cache, cache_folder=folder / "there"))
        assert said.endswith(f"--cache disk, and --cache is {cache}: leave it out, or ask for --cache disk")
    data, settings = asked_of(folder, cache="disk")
    assert "allowed are 1 to 21" in refusal(data, replace(settings, batch_size=22))
    (folder / "file").touch()
    said = refusal(*asked_of(folder, cache="disk", cache_folder=folder / "file/in"))
    assert said.startswith(f"--cache_folder: {folder / 'file'} is a file, not a folder")
    for augment in ("crop_pad", "randaugment"):
        said = refusal(*asked_of(folder, cache="device", augment=augment), torch.device("cuda"))
        assert said.startswith(f"--augment {augment} is not made on the device")
        assert "allowed are crop and none there" in said


def test_arrays_and_sets_without_a_cache_stay_as_they_are(folder: Path) -> None:
    data, settings = asked_of(folder)
    kept = cached(data, settings, CPU)
    assert isinstance(kept.dataset, PictureSet) and not isinstance(kept.dataset, OnDevice)
    assert kept.train is data.train and kept.dataset.notes == data.dataset.notes
