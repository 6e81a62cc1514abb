"""How time and memory grow: with negatives, images, students and batch, as one figure.

    python benchmarks/scaling.py --out results/benchmarks/scaling.png --json results/benchmarks/scaling.json
    python benchmarks/scaling.py --experiment 9 --device cuda --out scaling.pdf
    python benchmarks/scaling.py --from_json results/benchmarks/scaling.json --out new.png    # draw again

Every point is measured in a process of its own, so that peak memory is that point's. The sweeps of CRD time
its contrast with drawing, both directions, forward and backward: by products with the whole bank, by fetching
the drawn rows, and as the project chooses between the two. The sweeps of the step time all of it: data,
teacher, students (kd, crd, semckd, kd, ...), ensemble, optimizer.
"""

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from matplotlib.axes import Axes
from tqdm import tqdm

from benchmarks.parts import BATCH, METHODS, NEGATIVES, Ours
from benchmarks.step import conditions, synthetic_data, write_report
from crd.negatives import DrawnNegatives, NegativeSampler
from distiller_zoo import CRDLoss
from helper.arguments import Parser, options_of
from helper.device import Compute, prepare
from helper.errors import UserError, run_script
from helper.results import read_json
from helper.timing import alternate, medians, peak_memory
from reporting.published import EXPERIMENTS
from reporting.style import BLUE, GREEN, INK, VERMILION, axes, check_suffix, figure, legend_line, mixed, save

IMAGES, PER_CLASS, FEATURES = 50_000, 500, 128
SWEEPS = {
    "negatives": (1024, 2048, 4096, 8192, 16384, 32768, 49152),
    "images": (50_000, 100_000, 200_000, 500_000, 1_000_000),
    "images_few_negatives": (50_000, 100_000, 200_000, 500_000, 1_000_000),
    "students": (1, 2, 3, 4, 6, 8),
    "batch": (64, 128, 256, 512),
}
FEW_NEGATIVES = 2048
WAYS = ("chosen", "whole bank", "drawn rows")
CHOSEN, WHOLE, DRAWN = WAYS
LOOKS = {CHOSEN: (INK, "o", "-"), WHOLE: (BLUE, "", "--"), DRAWN: (VERMILION, "", ":")}


def parser() -> Parser:
    """The flags of this benchmark."""
    flags = Parser(__doc__)
    flags.add_argument(
        "--experiment", type=int, default=3, choices=range(1, 16), metavar="N",
        help="whose networks take the step: 1 to 15 (default 3)",
    )  # fmt: skip
    flags.add_argument("--sweeps", nargs="+", default=list(SWEEPS), choices=list(SWEEPS), metavar="SWEEP",
        help=f"default all: {' '.join(SWEEPS)}",
    )  # fmt: skip
    flags.add_argument("--repeats", type=int, default=3, help="timed repeats of each point (default 3)")
    flags.add_argument("--out", type=Path, help="the figure: .png, .pdf or .svg")
    flags.add_argument("--json", type=Path, help="write everything that was measured there")
    flags.add_argument("--from_json", type=Path, help="draw what was measured before")
    flags.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    flags.add_flags(Compute, "device", without=("eval_precision",))
    return flags


def main() -> None:
    args = parser().parse_args()
    if args.repeats < 1:
        raise UserError(f"--repeats {args.repeats} is not a whole number from 1")
    compute = Compute(**options_of(Compute, vars(args)))
    if args.point:
        sweep, value = args.point
        print(json.dumps(measure_point(sweep, int(value), args.experiment, args.repeats, compute)))
        return
    if not (args.out or args.json):
        raise UserError("nothing to write: give --out FIGURE, --json FILE or both")
    if args.from_json and args.json:
        raise UserError("--from_json measures nothing, so there is nothing to write: leave --json out")
    if args.out:
        check_suffix(args.out)
    report = (
        read_report(args.from_json)
        if args.from_json
        else measure_all(args.sweeps, args.experiment, args.repeats, compute)
    )
    if args.json:
        write_report(report, args.json)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw(report, args.out)


def read_report(path: Path) -> dict:
    """What --json wrote before."""
    report = read_json(path)
    if not isinstance(report, dict) or not isinstance(report.get("sweeps"), dict):
        raise UserError(f"{path} holds no sweeps: --json FILE of this benchmark writes them")
    return report


def measure_all(sweeps: Sequence[str], experiment: int, repeats: int, compute: Compute) -> dict:
    """Every point of the chosen sweeps, and where they were measured; prints a line per point."""
    device, precision = prepare(compute)
    report = conditions(experiment, device, precision) | {"repeats": repeats, "sweeps": {}}
    points = [(sweep, value) for sweep in sweeps for value in SWEEPS[sweep]]
    for sweep, value in tqdm(points, desc="points", unit="point", disable=None):
        call = [sys.executable, __file__, *sys.argv[1:], "--point", sweep, str(value)]
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise UserError(f"{sweep} {value} failed, see above; --sweeps leaves a sweep out")
        point = json.loads(done.stdout.splitlines()[-1])
        report["sweeps"].setdefault(sweep, []).append(point)
        times = ", ".join(f"{way} {1000 * s:.1f} ms" for way, s in point["medians"].items())
        tqdm.write(f"{sweep:<21} {value:>8}: {times}; peak {point['peak_memory_mib']:.0f} MiB")
    return report


def measure_point(sweep: str, value: int, number: int, repeats: int, compute: Compute) -> dict:
    """Seconds and peak memory (MiB) of one point; the memory is that of what the project does."""
    device, precision = prepare(compute)
    torch.manual_seed(0)
    if sweep in ("students", "batch"):
        methods = islice(cycle(METHODS), value if sweep == "students" else len(METHODS))
        batch_size = value if sweep == "batch" else BATCH
        experiment = EXPERIMENTS[number - 1]
        ours = Ours(experiment, synthetic_data(IMAGES), device, compute, list(methods), batch_size)
        seconds = alternate({CHOSEN: ours.step}, device, repeats)
        memory = peak_memory(device)
    else:
        calls = contrast_calls(sweep, value, device, precision == "bf16")
        seconds = alternate({CHOSEN: calls.pop(CHOSEN)}, device, repeats)
        memory = peak_memory(device)
        seconds |= alternate(calls, device, repeats, warm_up=1)
    return {"value": value, "seconds": seconds, "medians": medians(seconds), "peak_memory_mib": memory}


def contrast_calls(sweep: str, value: int, device: torch.device, low_precision: bool) -> dict:
    """CRD's contrast with drawing at one point, each way of finding the negatives' scores."""
    n_data = IMAGES if sweep == "negatives" else value
    count = {"negatives": value, "images": NEGATIVES, "images_few_negatives": FEW_NEGATIVES}[sweep]
    labels = torch.arange(n_data, device=device) % (n_data // PER_CLASS)
    sampler = NegativeSampler(labels, count).to(device)
    loss = CRDLoss(64, 64, n_data, FEATURES, nce_k=count, low_precision=low_precision).to(device)
    rng = torch.Generator(device).manual_seed(0)
    embeddings = [torch.randn(BATCH, 64, device=device, requires_grad=True) for _ in range(2)]
    indices = torch.randperm(n_data, device=device)[:BATCH]

    def call(way: str) -> None:
        negatives = sampler(labels[indices], rng)
        if way != CHOSEN:
            negatives = Forced(negatives, way)
        loss.contrast(*embeddings, indices, indices, negatives).backward()

    return {way: functools.partial(call, way) for way in WAYS}


class Forced:
    """Negatives whose blocks come one given way, whatever the size of the bank."""

    def __init__(self, negatives: DrawnNegatives, way: str):
        self.count = negatives.count
        self.blocks = negatives.all_rows if way == WHOLE else negatives.drawn_rows


def draw(report: dict, path: Path) -> None:
    """A column per kind of growth: time above, peak memory below."""
    sweeps, pair = report["sweeps"], f"{report['teacher']} teaches {report['student']}"
    sheet = figure(13, 6.6)
    grid = sheet.add_gridspec(2, 4)
    columns = (
        (("negatives",), "CRD's contrast: negatives", f"thousands of negatives, of {IMAGES:,} images"),
        (("images", "images_few_negatives"), "CRD's contrast: images", "millions of images"),
        (("students",), "Whole step: students", f"students\n{pair}"),
        (("batch",), "Whole step: batch", f"images per step, three students\n{pair}"),
    )
    for column, (names, title, label) in enumerate(columns):
        time = axes(sheet, title, "", "time, ms" if column == 0 else "", grid[0, column])
        memory = axes(sheet, "", label, "peak memory, MiB" if column == 0 else "", grid[1, column])
        scale = {"negatives": 1e3, "images": 1e6}.get(names[0], 1)
        for name in names:
            draw_sweep(time, memory, sweeps.get(name, []), scale, pale="few" in name)
        for panel in (time, memory):
            panel.set_ylim(0, 1.08 * panel.dataLim.ymax if panel.has_data() else 1)
            panel.set_xlim(left=0)
    keys = [legend_line(way, colour, style, marker) for way, (colour, marker, style) in LOOKS.items()]
    keys.append(legend_line("peak memory", GREEN, "-", "s"))
    keys.append(legend_line(f"paler: K = {FEW_NEGATIVES:,} instead of {NEGATIVES:,}", mixed(INK)))
    place = {"loc": "outside lower center", "ncols": len(keys), "fontsize": 9, "frameon": False}
    sheet.legend(handles=keys, **place)
    heading = f"{report['device']}, {report['precision']}, batch {BATCH} unless said"
    sheet.suptitle(heading, x=0.01, ha="left", fontsize=10, color=INK)
    print(f"figure: {save(sheet, path)}")


def draw_sweep(time: Axes, memory: Axes, points: list[dict], scale: float, pale: bool) -> None:
    """One sweep as lines of its ways, and of its memory; nothing for one that was not measured."""
    if not points:
        return
    values = [point["value"] / scale for point in points]
    share = 0.6 if pale else 0.0
    for way, (colour, marker, style) in LOOKS.items():
        if way in points[0]["medians"]:
            ms = [1000 * point["medians"][way] for point in points]
            look = {"color": mixed(colour, share), "linestyle": style, "marker": marker}
            time.plot(values, ms, **look, markersize=5, linewidth=2)
    memories = [point["peak_memory_mib"] for point in points]
    memory.plot(values, memories, color=mixed(GREEN, share), marker="s", markersize=5, linewidth=2)


if __name__ == "__main__":
    run_script(main)
