"""Write a network in several formats, hold each to the network, and say what it costs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dataset.data import DataSettings
from exporting import formats_dict
from exporting.check import check_on_test_set, check_same
from exporting.deployed import Deployed, Images
from exporting.formats import Format
from exporting.measure import Row, report, table, times
from exporting.onnx_file import Onnx, runner, session
from exporting.quantised import FILE as QUANTISED
from exporting.quantised import calibration_images, quantise
from exporting.weights import write_labels
from helper.device import device_name
from helper.files import new_folder, write_atomically
from helper.provenance import versions
from helper.results import DIGITS

REPORT = "export.json"


@dataclass(frozen=True)
class Data:
    """The data set on which accuracy is measured, and how many images calibrate 8 bits, if any."""

    dataset: Images
    settings: DataSettings
    calibration: int | None = None


def export(
    network: Deployed,
    teacher: Deployed | None,
    names: Sequence[str],
    data: Data | None,
    folder: Path,
    latency: bool = True,
) -> str:
    """Write the network in the formats of these names into a new folder; returns what to print.

    Raises UserError, and leaves nothing behind, if a format cannot be written or differs from the network.
    """
    formats: list[Format] = [formats_dict[name]() for name in names]
    calibration = None
    if data is not None and data.calibration is not None:
        calibration = calibration_images(data.dataset, data.calibration)
    packages = sorted({package for kind in formats for package in kind.packages})
    with new_folder(folder) as place:
        differences = write_formats(network, formats, place)
        if calibration is not None:
            quantise(network, place / Onnx.file, calibration, place / QUANTISED)
        rows = rows_of(network, teacher, formats, place, calibration is not None)
        if data is not None:
            rows = with_accuracy(rows, network, data)
        about = {
            "arch": network.arch,
            "formats": list(names),
            "largest_difference": differences,
            "calibration_images": None if data is None else data.calibration,
            "dataset": None if data is None else data.dataset.name,
            "machine": device_name(torch.device("cpu")),
            "versions": {**versions(), **{name: import_module(name).__version__ for name in packages}},
            "rows": report(rows, times(rows, network) if latency else {}),
        }
        write_atomically(place / REPORT, json.dumps(rounded(about), indent=2) + "\n")
    return said(about, folder)


def write_formats(network: Deployed, formats: Sequence[Format], folder: Path) -> dict[str, float]:
    """Write the files and read each back; returns their largest differences by name."""
    write_labels(network, folder)
    found = {}
    for kind in tqdm(formats, desc="writing and checking", unit="format", leave=False, disable=None):
        kind.write(network, folder)
        found[kind.file] = check_same(network, kind.file, kind.read(network, folder))
    return found


def rows_of(
    network: Deployed, teacher: Deployed | None, formats: Sequence[Format], folder: Path, quantised: bool
) -> list[Row]:
    """The teacher, the network, and each written file; what runs as the network itself does is timed once."""
    rows = [
        Row(
            f"{title} {one.path.name} ({one.arch})",
            one.path.stat().st_size,
            lambda _, one=one: one.logits,
            one,
        )
        for title, one in (("teacher", teacher), ("network", network))
        if one is not None
    ]
    for kind in formats:
        name = f"{kind.file} ({kind.runtime})" if kind.runtime else kind.file
        at = partial(kind.read, network, folder)
        rows.append(Row(name, size(folder, kind.file), at, timed=kind.runtime is not None, exact=True))
    if quantised:
        name = f"{QUANTISED} ({Onnx.runtime})"
        rows.append(
            Row(name, size(folder, QUANTISED), lambda threads: runner(session(folder / QUANTISED, threads)))
        )
    return rows


def size(folder: Path, file: str) -> int:
    """Of a file, in bytes."""
    return (folder / file).stat().st_size


def with_accuracy(rows: Sequence[Row], network: Deployed, data: Data) -> list[Row]:
    """The rows with the accuracy of each; UserError if one that has to be exact is not."""
    logits = {row.name: row.at(torch.get_num_threads()) for row in rows}
    exact = [row.name for row in rows if row.exact]
    scores = check_on_test_set(network, logits, exact, data.dataset, data.settings)
    return [replace(row, accuracy=scores[row.name].top1) for row in rows]


def said(about: Mapping[str, Any], folder: Path) -> str:
    """What to print of the export."""
    largest = max(about["largest_difference"].values())
    dataset = about["dataset"]
    accuracy = f"; top-1 on the test set of {dataset}" if dataset else ""
    calls = [time["calls"] for entry in about["rows"] for time in entry["latency"]]
    latency = f"; latency: medians of {min(calls)} calls or more, on {about['machine']}" if calls else ""
    return "\n".join(
        [
            table(about["rows"]),
            f"GFLOP: of one image, as torch counts, 2 per multiply-add{accuracy}{latency}",
            f"{', '.join(about['largest_difference'])}: read back, within {largest:.1g} of the largest logit",
            f"written: {folder}",
        ]
    )


def rounded(value: Any) -> Any:
    """Nested content with numbers as short as results have them."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
