"""What a network costs: parameters, size, operations, time; and the table of it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from exporting.deployed import Deployed
from exporting.formats import Logits
from helper.timing import alternate, count_flops, measure

CPU = torch.device("cpu")
BATCHES = (1, 64)
WARM_UP, FEWEST, MOST = 5, 10, 100
SECONDS = 1.0  # for which the slowest row is timed, within FEWEST and MOST calls


@dataclass(frozen=True)
class Row:
    """A line of the table: a file that holds a network.

    size: of the file, in bytes; at: what runs it with so many threads; network: what is counted of it, None
    where a line above says it; timed: whether its latency is told; exact: whether it has to give the
    network's classes; accuracy: in percent on the test set.
    """

    name: str
    size: int
    at: Callable[[int], Logits]
    network: Deployed | None = None
    timed: bool = True
    exact: bool = False
    accuracy: float | None = None


@dataclass(frozen=True)
class Time:
    """The median of calls with a batch of so many images by so many threads."""

    batch: int
    threads: int
    milliseconds: float
    calls: int


def parameters(network: Deployed) -> int:
    """Of the network, in all."""
    return sum(parameter.numel() for parameter in network.module.parameters())


def gflop(network: Deployed) -> float:
    """For one image; a multiplication with its addition counts as two."""
    return count_flops(lambda: network.logits(network.example(1))) / 1e9


def thread_counts() -> list[int]:
    """One, and as many as torch uses here."""
    return sorted({1, torch.get_num_threads()})


def times(rows: Sequence[Row], image: Deployed) -> dict[str, list[Time]]:
    """For each timed row by name its times, all rows in turn, call by call, in this process.

    image: the network whose images rows without a network take.
    """
    rows, before = [row for row in rows if row.timed], torch.get_num_threads()
    found: dict[str, list[Time]] = {row.name: [] for row in rows}
    try:
        for threads in thread_counts():
            torch.set_num_threads(threads)
            runs = {row.name: row.at(threads) for row in rows}
            for batch in BATCHES:
                images = {row.name: (row.network or image).example(batch) for row in rows}
                calls = {name: partial(run, images[name]) for name, run in runs.items()}
                for name, seconds in timed(calls).items():
                    time = Time(batch, threads, 1000 * statistics.median(seconds), len(seconds))
                    found[name].append(time)
    finally:
        torch.set_num_threads(before)
    return found


def timed(calls: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of the calls after a warm-up, in turn."""
    slowest = max(measure(call, CPU) for call in calls.values())
    repeats = min(MOST, max(FEWEST, round(SECONDS / slowest)))
    return alternate(dict(calls), CPU, repeats, WARM_UP)


def report(rows: Sequence[Row], timings: Mapping[str, Sequence[Time]]) -> list[dict[str, Any]]:
    """The table's content: an entry per row, without what is not known."""
    entries = []
    for row in rows:
        entry: dict[str, Any] = {"name": row.name, "bytes": row.size}
        if row.network is not None:
            own = {"arch": row.network.arch, "parameters": parameters(row.network)}
            entry |= own | {"gflop": gflop(row.network)}
        if row.accuracy is not None:
            entry["test_acc"] = row.accuracy
        entry["latency"] = [vars(time) for time in timings.get(row.name, ())]
        entries.append(entry)
    return entries


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """The entries as lines for a terminal; columns that are empty everywhere are left out."""
    kinds = [(time["batch"], time["threads"]) for time in max((e["latency"] for e in entries), key=len)]
    columns: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
        "parameters": lambda e: f"{e['parameters'] / 1e6:.3f} M" if "parameters" in e else None,
        "file": lambda e: f"{e['bytes'] / 1e6:.3f} MB",
        "GFLOP": lambda e: f"{e['gflop']:.4f}" if "gflop" in e else None,
        "top-1": lambda e: f"{e['test_acc']:.2f} %" if "test_acc" in e else None,
    }
    for kind in kinds:
        columns[f"batch {kind[0]}, {kind[1]} thread{'s' * (kind[1] > 1)}"] = lambda e, kind=kind: next(
            (f"{t['milliseconds']:.2f} ms" for t in e["latency"] if (t["batch"], t["threads"]) == kind), None
        )
    cells = {title: [value(entry) for entry in entries] for title, value in columns.items()}
    cells = {title: found for title, found in cells.items() if any(found)}
    names = ["", *(entry["name"] for entry in entries)]
    lines = [name.ljust(max(map(len, names))) for name in names]
    for title, found in cells.items():
        column = [title, *(value or "" for value in found)]
        width = max(map(len, column))
        lines = [f"{line}  {value:>{width}}" for line, value in zip(lines, column, strict=True)]
    return "\n".join(lines)
