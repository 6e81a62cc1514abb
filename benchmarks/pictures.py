"""Pictures per second and core: our stream beside a plain torchvision DataLoader, in turn in one process.

    python -m benchmarks.pictures --data_folder FOLDER_OF_CLASSES
    python -m benchmarks.pictures            # JPEGs of 375 x 500 pixels, drawn and thrown away

Both decode with Pillow, crop to 224 and mirror, without workers, so that CPU time is that of one core. The
plain loops are ImageFolder with torchvision's transforms: the field's own on Pillow images, and the faster
one on uint8 tensors. Ours also turns pictures as EXIF says. "pixels" ends with uint8 batches, "normalised"
with float32 ones, which costs a CPU much and a GPU nothing. "cached" reads what --cache disk keeps, which is
made first, and timed too.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import v2

from dataset.cached import Cached, Mapped, write_middles
from dataset.folder import scan
from dataset.items import Items
from dataset.picture_set import IMAGENET
from dataset.pictures import evaluation_resize
from dataset.stream import Pool, Reader, StreamLoader
from dataset.transforms import crop
from helper.arguments import Parser, path, positive_int
from helper.device import device_name
from helper.errors import run_script
from helper.provenance import versions

CLASSES, SIDES, QUALITY = 10, (375, 500), 88
BATCH, SIZE = 64, 224
Epoch = Callable[[], Iterator[Tensor]]


def draw_pictures(folder: Path, count: int) -> None:
    """JPEGs of noise with the spectrum of photographs, 1/f: of a photograph's size in bytes."""
    random = np.random.RandomState(0)
    for number in range(count):
        height, width = SIDES if number % 2 else SIDES[::-1]
        frequency = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None] ** 2
        frequency[0, 0] = 1
        noise = random.randn(3, height, width)
        drawn = np.fft.ifft2(np.fft.fft2(noise) / frequency**0.55).real.transpose(1, 2, 0)
        pixels = (drawn - drawn.mean()) / drawn.std() * 50 + 128
        place = folder / f"class_{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number}.jpg", quality=QUALITY)


def cached(items: Items, path: Path) -> Cached:
    """The pictures with their middles in a file; says how fast that was made."""
    begin = time.process_time()
    write_middles(items, SIZE, evaluation_resize(SIZE), 0, "pictures", path)
    pace, size = len(items) / (time.process_time() - begin), path.stat().st_size / len(items)
    print(f"cache made: {pace:.0f} pictures per second and core, {size / 1e3:.1f} kB each")
    return Cached(items, Mapped(path))


def loops_of(folder: Path, cache: Path) -> dict[str, Epoch]:
    """What is timed, by name; cache: a file that is made."""
    on_images = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip()]
    on_tensors = [v2.PILToTensor(), v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip()]
    as_floats = [transforms.ToTensor(), transforms.Normalize(*IMAGENET)]
    _, files = scan(folder)
    ours = StreamLoader(
        files,
        crop(SIZE, True),
        size=SIZE,
        batch_size=BATCH,
        device="cpu",
        mean=IMAGENET[0],
        std=IMAGENET[1],
    )
    plan = [(index, (index,)) for index in range(len(files))]
    batches = [plan[i : i + BATCH] for i in range(0, len(plan), BATCH)]
    pool = Pool(Reader(files, crop(SIZE, True)), 0, pin=False)
    of_cache = Pool(Reader(cached(files, cache), crop(SIZE, True)), 0, pin=False)
    return {
        "Pillow images, normalised": plain(folder, [*on_images, *as_floats]),
        "tensors, pixels": plain(folder, on_tensors),
        "ours, pixels": lambda: (pixels for (pixels,) in pool.batches(batches)),
        "ours, cached, pixels": lambda: (pixels for (pixels,) in of_cache.batches(batches)),
        "ours, normalised": lambda: (batch.images for batch in ours.epoch(0)),
    }


def plain(folder: Path, steps: Sequence[Callable]) -> Epoch:
    """A plain loop of torchvision's."""
    loader = DataLoader(datasets.ImageFolder(folder, transforms.Compose(steps)), BATCH, shuffle=True)
    return lambda: (images for images, _ in loader)


def rate(epoch: Epoch) -> float:
    """Pictures per second of this process's CPU time, over one epoch."""
    begin, count = time.process_time(), 0
    for images in epoch():
        count += len(images)
    return count / (time.process_time() - begin)


def main() -> None:
    flags = Parser(__doc__)
    flags.add_argument("--data_folder", type=path, help="a folder of classes (default: pictures are drawn)")
    flags.add_argument("--pictures", type=positive_int, default=600, help="how many are drawn (default 600)")
    flags.add_argument("--runs", type=positive_int, default=5, help="epochs of each, in turn (default 5)")
    flags.add_argument("--out", type=path, help="write the figures there as JSON too")
    args = flags.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = args.data_folder or Path(made)
        if args.data_folder is None:
            draw_pictures(folder, args.pictures)
        loops = loops_of(folder, Path(made) / "cache.npy")
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(args.runs):
            for name, epoch in loops.items():
                rates[name].append(rate(epoch))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in medians.items():
        print(f"{name:>26}: {value:6.0f} pictures per second and core, median of {args.runs}")
    ratio = medians["ours, pixels"] / medians["tensors, pixels"]
    gain = medians["ours, cached, pixels"] / medians["ours, pixels"]
    print(
        f"ours to tensors, pixels: {ratio:.2f}; cached to not: {gain:.2f}; {device_name(torch.device('cpu'))}"
    )
    if args.out:
        record = {"pictures_per_second": medians, "all": rates, "device": device_name(torch.device("cpu"))}
        args.out.write_text(json.dumps(record | {"versions": versions()}, indent=2) + "\n")


if __name__ == "__main__":
    run_script(main)
