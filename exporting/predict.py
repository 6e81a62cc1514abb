"""The classes that a network sees in the pictures of a folder."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from dataset.stream import default_workers
from exporting.deployed import class_names, deployed
from exporting.formats import Logits
from exporting.onnx_file import Onnx, record_of, runner, session
from exporting.pictures import Pictures
from exporting.weights import WEIGHTS
from helper.device import Compute, prepare
from helper.errors import UserError, told_in_a_line
from helper.packages import require
from models.checkpoint import read_network
from models.record import NetworkRecord

ONNX = ".onnx"
PROGRAM = ".pt2"
IN_A_FOLDER = (WEIGHTS, Onnx.file)  # what is taken of an exported folder, the first that is there
SHOWN_CLASSES = 10
SHOWN_BROKEN = 20
DIGITS = 6  # of a probability


@dataclass(frozen=True)
class Reader:
    """What tells the classes of pictures: logits of images (N, 3, H, W), white 1, on a device; and the record
    of the network, in which sizes and number of classes are known; note: what to say of it.
    """

    logits: Logits
    record: NetworkRecord
    device: torch.device
    note: str | None = None


@dataclass(frozen=True)
class Guess:
    """The likeliest classes of a picture with their probabilities, the likeliest first."""

    file: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def open_network(path: Path, model: str | None, device: str) -> Reader:
    """The network of a checkpoint, of an ONNX file, or of a folder that export.py left.

    model: the network's name, where the file does not say it; device: as --device has it; ONNX runs on the
    CPU. Raises UserError if there is no network, or if its file does not say what its use depends on.
    """
    if path.is_dir():
        path = next((path / name for name in IN_A_FOLDER if (path / name).is_file()), path)
    if path.suffix == ONNX and path.is_file():
        return open_onnx(path, device)
    if path.suffix == PROGRAM:
        raise UserError(
            f"{path}: reading that format may run code that is in it: give the folder that export.py left, "
            f"or {' or '.join(IN_A_FOLDER)} in it"
        )
    place, _ = prepare(Compute(device=device))
    file = read_network(path, model)
    network = deployed(file)
    network.module.to(place)
    return Reader(network.logits, network.record, place, file.took)


def open_onnx(path: Path, device: str) -> Reader:
    """The network of an ONNX file of any origin, if it gives logits of images of fixed size."""
    require(["onnxruntime"], str(path))
    if device not in ("auto", "cpu"):
        raise UserError(f"--device {device}: {path} is run on the CPU: give a checkpoint, or leave it out")
    found = session(path)
    run, record = runner(found), record_of(found, path)

    def logits(images: Tensor) -> Tensor:
        with told_in_a_line(f"{path} cannot be run on {len(images)} pictures at once", "try --batch_size 1"):
            return run(images)

    note = None if record.normalisation else f"{path} does not say what its pixels are: they go from 0 to 1"
    return Reader(logits, record, torch.device("cpu"), note)


@torch.no_grad()
def guesses(
    reader: Reader,
    folder: Path,
    files: Sequence[str],
    top: int,
    batch_size: int,
    workers: int | None,
    skip_broken: bool,
) -> tuple[list[Guess], dict[str, str]]:
    """The likeliest classes of each picture, and why some could not be read, by file.

    workers: processes that read pictures; None: as many as the pictures of a data set have.

    Raises UserError, which names the first and counts them, if any cannot be read, unless these are skipped.
    """
    record = reader.record
    names = class_names(record, record.num_classes)
    found: list[Guess] = []
    broken: dict[str, str] = {}
    pictures = Pictures(folder, files, record.image_size, record.resize)
    with tqdm(total=len(files), unit="image", leave=False, disable=None) as bar:
        for batch in pictures.batches(batch_size, default_workers() if workers is None else workers):
            broken |= {files[place]: why for place, why in batch.broken.items()}
            if batch.places and (skip_broken or not broken):
                logits = reader.logits(batch.pixels.to(reader.device).float().div(255))
                likeliest = logits.float().softmax(1).topk(min(top, len(names)), dim=1)
                rows = zip(batch.places, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
                for place, classes, values in rows:
                    found.append(Guess(files[place], tuple(names[k] for k in classes), tuple(values)))
            bar.update(len(batch.places) + len(batch.broken))
    if broken and not skip_broken:
        first, why = next(iter(broken.items()))
        raise UserError(f"{len(broken)} of {len(files)} pictures cannot be read, the first is {first}: {why}")
    return found, broken


def as_csv(found: Sequence[Guess]) -> bytes:
    """A row per picture: file, class, probability, class_2, probability_2, ...; names that are no text keep
    their bytes.
    """
    count = max(len(guess.classes) for guess in found)
    numbers = ["", *(f"_{k}" for k in range(2, count + 1))]
    written = io.StringIO(newline="")
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["file", *(f"{name}{k}" for k in numbers for name in ("class", "probability"))])
    for guess in found:
        pairs = zip(guess.classes, guess.probabilities, strict=True)
        rows.writerow([guess.file, *(cell for name, p in pairs for cell in (name, f"{p:.{DIGITS}f}"))])
    return written.getvalue().encode(errors="surrogateescape")


def counted(found: Sequence[Guess]) -> str:
    """How many pictures are of which class, the most frequent first."""
    counts = Counter(guess.classes[0] for guess in found).most_common()
    shown = [f"{name}: {count}" for name, count in counts[:SHOWN_CLASSES]]
    more = len(counts) - len(shown)
    return ", ".join([*shown, *([f"and {more} more classes"] if more > 0 else [])])


def tell_broken(broken: dict[str, str], total: int) -> None:
    """Say on standard error which pictures were left out."""
    if broken:
        print(f"{len(broken)} of {total} pictures cannot be read and are left out:", file=sys.stderr)
    for file in list(broken)[:SHOWN_BROKEN]:
        print(f"  {file}", file=sys.stderr)
    if len(broken) > SHOWN_BROKEN:
        print(f"  and {len(broken) - SHOWN_BROKEN} more", file=sys.stderr)
