"""Reproduce the published tables: teachers, baselines, ModReduce and students alone, then the report.

    python -m scripts.reproduce                                    all fifteen experiments, seed 1, wavg
    python -m scripts.reproduce --experiments 9,5,8 --seeds 1,2,3
    python -m scripts.reproduce --experiments 9 --online wavg,one,fc,pcl
    python -m scripts.reproduce --experiments 3 --epochs 10 -- --train_size 10000 --precision fp32
    python -m scripts.reproduce --dry_run                          print the commands that are left to run

One run per GPU of the machine at a time, or one on a CPU. What is finished is skipped, what was stopped goes
on: the same command again continues a reproduction. Flags after -- go to every run (to train_teacher.py those
that it has). A failed run stops only those that need its teacher. Exit status: 0 when everything is there, 1
when a run failed.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from dataset import dataset_dict
from helper.arguments import Parser, positive_int
from helper.errors import UserError, run_script
from helper.files import check_folder
from modreduce import ensemble_dict
from reporting.published import EXPERIMENTS, MEASURED_ORDER
from reporting.runs import Run, find_runs
from reporting.write import write_report
from scripts.reproduce_plan import Job, Settings, finished_run, plan, read_extra
from scripts.reproduce_pool import Pool, clock


def parser() -> Parser:
    """The flags of this program."""
    flags = Parser(__doc__)
    flags.add_argument("--experiments", default="all", help="numbers like 9,5,8 or 1-5 (default all)")
    flags.add_argument(
        "--seeds", default="1", help="seeds like 1,2,3 (default 1); the first trains the teachers"
    )
    flags.add_argument("--online", default="wavg", help="online methods like wavg,one,fc,pcl (default wavg)")
    flags.add_argument("--epochs", type=positive_int, default=240, help="default 240")
    flags.add_argument("--dataset", default="cifar100", choices=list(dataset_dict), help="default cifar100")
    flags.add_argument(
        "--save_folder", type=Path, default=Path("save"), help="root of all runs (default save)"
    )
    flags.add_argument("--gpus", help="GPUs to use, like 0,1 (default: all; none: the CPU)")
    flags.add_argument("--dry_run", action="store_true", help="only print the commands")
    return flags


def numbers(flag: str, text: str, allowed: range) -> list[int]:
    """Numbers and ranges like 9,5,1-3, each once, in this order; UserError if one is not allowed."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise UserError(f"{flag} {text}: {part.strip()!r} is no number or range; write 9,5,8 or 1-3")
        both = int(first), int(last or first)
        if any(number not in allowed for number in both):
            raise UserError(f"{flag} {text}: allowed are {allowed.start} to {allowed.stop - 1}")
        found += range(both[0], both[1] + 1)
    return list(dict.fromkeys(found))


def slots_of(gpus: str | None, extra: dict[str, tuple[str, ...]]) -> list[str | None]:
    """Values of CUDA_VISIBLE_DEVICES for the runs side by side, or [None] for the CPU."""
    if extra.get("device") == ("cpu",) or gpus == "none":
        return [None]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        known = []
    if gpus is None:
        return [*known] or [None]
    chosen = list(dict.fromkeys(gpus.split(",")))
    if unknown := [gpu for gpu in chosen if gpu not in known]:
        raise UserError(
            f"--gpus {gpus}: {unknown[0]!r} is not there; GPUs of this machine: {', '.join(known) or 'none'}"
        )
    return [*chosen]


def known_runs(save_folder: Path) -> list[Run]:
    """The finished runs below the folder; none if it is empty or not there."""
    try:
        return find_runs([save_folder], warn=lambda line: None)
    except UserError:
        return []


def is_done(job: Job, settings: Settings) -> bool:
    """Whether a job's result stands there."""
    if job.leaves:
        return job.leaves.exists()
    return finished_run(job, known_runs(settings.save_folder), settings) is not None


def speed_of(jobs: Sequence[Job], settings: Settings) -> float | None:
    """Work per second of the finished runs among the jobs."""
    runs = known_runs(settings.save_folder)
    pairs = [(job.work, run.results.seconds) for job in jobs if (run := finished_run(job, runs, settings))]
    seconds = sum(second for _, second in pairs)
    return sum(work for work, _ in pairs) / seconds if seconds else None


def reproduce(
    jobs: Sequence[Job], settings: Settings, slots: Sequence[str | None], dry_run: bool = False
) -> int:
    """Run what is left of the jobs, then the report; the exit status."""
    runs = known_runs(settings.save_folder)
    finished = [
        job for job in jobs if (job.leaves.exists() if job.leaves else finished_run(job, runs, settings))
    ]
    left = [job for job in jobs if job not in finished]
    folders = [settings.save_folder, *(folder for folder in [Path("results")] if folder.is_dir())]
    out = settings.save_folder / "report"
    say = partial(print, flush=True)
    if dry_run:
        lines = [f"# finished: {job.name}" if job in finished else job.command for job in jobs]
        say("\n".join(dict.fromkeys(lines)))
        say(f"python report.py {' '.join(map(str, folders))} --out {out}")
        return 0
    logs = settings.save_folder / "reproduce"
    pool = Pool(slots, logs, partial(is_done, settings=settings), speed_of(jobs, settings), say)
    seconds = pool.seconds_left(left)
    estimate = f", about {clock(seconds)}" if seconds else ""
    where = f"{len(slots)} GPUs" if slots[0] is not None else "the CPU"
    say(f"{len(jobs)} runs, {len(finished)} finished already, {len(left)} to run on {where}{estimate}")
    pool.run(left)
    try:
        say("report: " + ", ".join(map(str, write_report(folders, out))))
    except UserError as error:
        say(f"no report: {error}")
    if pool.failed:
        say(f"{len(pool.failed)} of {len(jobs)} runs failed; the same command tries them again:")
        for job, reason in pool.failed.items():
            say(f"  {job.name}: {reason}\n    {job.command}")
    return 1 if pool.failed else 0


def main(words: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if words is None else words)
    place = words.index("--") if "--" in words else len(words)
    args = parser().parse_args(words[:place])
    extra = read_extra(words[place + 1 :])
    chosen = ",".join(map(str, MEASURED_ORDER)) if args.experiments == "all" else args.experiments
    experiments = numbers("--experiments", chosen, range(1, len(EXPERIMENTS) + 1))
    seeds = numbers("--seeds", args.seeds, range(2**31))
    onlines = [name for name in dict.fromkeys(args.online.split(",")) if name not in ("", "none")]
    if unknown := [name for name in onlines if name not in ensemble_dict]:
        raise UserError(f"--online {unknown[0]} is unknown; allowed are {', '.join(ensemble_dict)}")
    check_folder(args.save_folder, "--save_folder")
    settings = Settings(args.dataset, args.epochs, args.save_folder, extra)
    jobs = plan(experiments, seeds, onlines, settings)
    sys.exit(reproduce(jobs, settings, slots_of(args.gpus, extra), args.dry_run))


if __name__ == "__main__":
    run_script(main)
