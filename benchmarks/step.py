"""One step of an experiment, the literal published implementation against this project's, part by part.

    python benchmarks/step.py --experiment 9
    python benchmarks/step.py --experiment 9 --device cuda --json results/benchmarks/step.json
    python benchmarks/step.py --experiment 9 --profile                 # which operations take the time

Both versions run in one process and in turn, with the settings of the published recipe: batch 64, K = 16384,
50,000 images. Without CIFAR-100 in --data_folder the images are synthetic, and the networks' weights are
untrained: neither changes a time.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch.profiler import profile

from benchmarks.parts import DATA_BATCHES, Literal, Ours
from dataset import load_dataset
from dataset.base import DataSet
from helper.arguments import Parser, options_of
from helper.device import Compute, device_name, prepare
from helper.errors import UserError, run_script
from helper.provenance import git_commit, versions
from helper.timing import alternate, count_flops, matmul_rate, medians, peak_memory
from reporting.published import EXPERIMENTS

PARTS = (
    ("data", "a batch, without negatives"),
    ("teacher", "forward"),
    ("kd", "student, forward and backward"),
    ("crd", "student, forward and backward"),
    ("semckd", "student, forward and backward"),
    ("negatives", "drawing them"),
    ("contrast", "CRD's loss with drawing, forward and backward"),
    ("ensemble", "fusing, its own and the students' online loss"),
    ("optimizer", "all of them"),
    ("step", "the whole of it"),
)


def parser() -> Parser:
    """The flags of this benchmark."""
    flags = Parser(__doc__)
    flags.add_argument(
        "--experiment", type=int, default=9, choices=range(1, 16), metavar="N", help="1 to 15 (default 9)"
    )
    flags.add_argument("--data_folder", type=Path, default=Path("data"))
    flags.add_argument("--steps", type=int, default=5, help="timed repeats of each part (default 5)")
    flags.add_argument("--json", type=Path, help="write everything that was measured there")
    flags.add_argument(
        "--profile", action="store_true", help="print the operations of a whole step of each version"
    )
    flags.add_argument("--memory_of", choices=("literal", "ours"), help=argparse.SUPPRESS)
    flags.add_flags(Compute, "device (compile, cuda_graph: of ours)", without=("eval_precision",))
    return flags


def benchmark_data(folder: Path) -> tuple[DataSet, str]:
    """CIFAR-100 if it is there, else random images in its place; and which."""
    if (folder / "cifar100.npz").exists() or (folder / "cifar-100-python").exists():
        return load_dataset("cifar100", folder), "CIFAR-100"
    return synthetic_data(50000), "synthetic images"


def synthetic_data(size: int) -> DataSet:
    """That many random images of 100 classes, of CIFAR's shape."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(size) % 100
    return DataSet("synthetic", images, labels, images[:1000], labels[:1000], 100, (0.5,) * 3, (0.25,) * 3)


def main() -> None:
    args = parser().parse_args()
    if args.steps < 1:
        raise UserError(f"--steps {args.steps} is not a whole number from 1")
    compute = Compute(**options_of(Compute, vars(args)))
    device, precision = prepare(compute)
    experiment = EXPERIMENTS[args.experiment - 1]
    data, kind = benchmark_data(args.data_folder)
    make = {
        "literal": lambda: Literal(experiment, data, device),
        "ours": lambda: Ours(experiment, data, device, compute),
    }
    if args.memory_of:
        version = make[args.memory_of]()
        for _ in range(3):
            version.step()
        print(f"peak {peak_memory(device):.0f}")
        return
    literal, ours = make["literal"](), make["ours"]()
    report = conditions(args.experiment, device, precision)
    report |= {"data": kind, "repeats": args.steps, "seconds": {}}
    pair = f"{experiment.teacher} teaches three {experiment.student}"
    print(f"experiment {args.experiment}: {pair}, {kind}, {report['device']}")
    print(f"\n{'part':<10} {'literal':>12} {'ours':>12} {'ratio':>8}   medians of {args.steps}")
    for part, meaning in PARTS:
        calls = {"literal": getattr(literal, part), "ours": getattr(ours, part)}
        seconds = alternate(calls, device, args.steps)
        if part == "data":
            seconds = {name: [s / DATA_BATCHES for s in values] for name, values in seconds.items()}
        middle = medians(seconds)
        report["seconds"][part] = seconds | {"medians": middle, "ratio": middle["literal"] / middle["ours"]}
        a, b = middle["literal"], middle["ours"]
        print(f"{part:<10} {1000 * a:>9.2f} ms {1000 * b:>9.2f} ms {a / b:>7.1f}x   {meaning}", flush=True)
    report["floor"] = floor(ours, device, report["seconds"]["step"]["medians"])
    report["peak_memory_mib"] = {name: memory_in_a_process(name) for name in ("literal", "ours")}
    print(summary(report))
    if args.profile:
        for name, version in (("literal", literal), ("ours", ours)):
            print(f"\n{name}\n{profiled(version.step)}")
    literal.close()
    if args.json:
        write_report(report, args.json)


def conditions(number: int, device: torch.device, precision: str) -> dict:
    """What a report says of its networks, its device and the versions; number: of the experiment."""
    experiment = EXPERIMENTS[number - 1]
    return {
        "experiment": number,
        "teacher": experiment.teacher,
        "student": experiment.student,
        "device": device_name(device),
        "precision": precision,
        "versions": versions(),
        "git_commit": git_commit(),
    }


def write_report(report: dict, path: Path) -> None:
    """A report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def floor(ours: Ours, device: torch.device, seconds: dict[str, float]) -> dict[str, float]:
    """The arithmetic of a step at the machine's measured peak, and how near to it each version comes."""
    flops = count_flops(ours.step)
    rate = matmul_rate(device, torch.bfloat16 if ours.precision == "bf16" else torch.float32)
    least = flops / rate
    return {
        "gflop": flops / 1e9,
        "peak_tflops": rate / 1e12,
        "seconds": least,
        "reached_by_literal": least / seconds["literal"],
        "reached_by_ours": least / seconds["ours"],
    }


def memory_in_a_process(name: str) -> float:
    """Peak memory of three steps of one version in a process of its own, MiB."""
    call = [sys.executable, __file__, *sys.argv[1:], "--memory_of", name]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    return float(said.rsplit("peak ", 1)[1])


def summary(report: dict) -> str:
    """Floor and memory in two lines."""
    least, memory = report["floor"], report["peak_memory_mib"]
    lines = [
        f"floor: {least['gflop']:.0f} GFLOP at {least['peak_tflops']:.2f} TFLOP/s ({report['precision']}) "
        f"take {1000 * least['seconds']:.1f} ms",
        f"of it reached: literal {least['reached_by_literal']:.0%}, ours {least['reached_by_ours']:.0%}",
        f"peak memory: literal {memory['literal']:.0f} MiB, ours {memory['ours']:.0f} MiB "
        f"({memory['ours'] / memory['literal']:.0%})",
    ]
    return "\n" + "\n".join(lines)


def profiled(call) -> str:
    """The twelve operations that take most of a call's time."""
    with profile() as profiler:
        call()
    key = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    return profiler.key_averages().table(sort_by=key, row_limit=12, max_name_column_width=40)


if __name__ == "__main__":
    run_script(main)
