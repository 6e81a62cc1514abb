"""Timing that can be trusted on a busy machine: warm-up, versions in turn, medians; and the floor."""

import ctypes
import math
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

Call = Callable[[], object]
STATUS = Path("/proc/self/status")


def alternate(
    calls: dict[str, Call], device: torch.device, repeats: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Seconds of each repeat of each call, the calls in turn (A B A B ...), in one process.

    On a GPU they are measured with events on its stream, on a CPU with the clock.
    """
    for _ in range(warm_up):
        for call in calls.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(measure(call, device))
    return seconds


def measure(call: Call, device: torch.device) -> float:
    """Seconds of one call."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1000
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """The median of each list."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(device: torch.device) -> float:
    """MiB that the process had resident at most (workers not counted); on a GPU what was allocated there.

    Read from /proc, because the maximum that getrusage gives includes the parent's from before the exec.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if STATUS.exists():
        return _resident("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident(what: str) -> float:
    """MiB of this process: VmRSS, what it has resident, or VmHWM, the most that it had."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def added_memory(call: Call, device: torch.device) -> float:
    """MiB that a call needs at most beyond what is there before it; on a CPU NaN where Linux does not say."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) / 2**20
        call()
        return peak_memory(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before is given back first
        Path("/proc/self/clear_refs").write_text("5")  # the maximum starts anew
    except (OSError, AttributeError):
        return math.nan
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def count_flops(call: Call) -> int:
    """Floating-point operations of the products and convolutions of a call, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """Operations per second of a large square product, the best of several: the machine's arithmetic peak."""
    size = size or (8192 if device.type == "cuda" else 2048)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = min(measure(lambda: a @ b, device) for _ in range(8))
    return 2 * size**3 / best
