"""Runs whose results are committed: a teacher, then students over seeds, and the files that each leaves."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from helper.arguments import non_negative_int, path, positive_int
from helper.errors import UserError
from helper.files import check_folder
from scripts.reproduce import complaint
from scripts.runner import Job, Runner

Plan = Callable[[Path, Path, Sequence[int]], list[Job]]  # teacher, folder of all runs, seeds -> the runs


def told(variable: str, usual: str) -> str:
    """A variable of the environment, or what it usually is."""
    return os.environ.get(variable) or usual


def run_folder(save: Path, name: str) -> list[str]:
    """The words that give a run a folder of its own, where `collect` looks for its results."""
    return ["--save_folder", str(save / "runs" / name), "--resume"]


def collect(job: Job, save: Path, out: Path) -> bool:
    """Copy a run's results to `out`, without the folders of this machine; False if there are none."""
    found = next((save / "runs" / job.name).rglob("results.json"), None)
    if found is None:
        return False
    settings = re.sub(r"""([" ])/[^" ]*/([^/" ]+)""", r"\1\2", found.with_name("args.json").read_text())
    (out / f"{job.name}.args.json").write_text(settings)
    shutil.copy(found.with_name("metrics.csv"), out / f"{job.name}.metrics.csv")
    shutil.copy(found, out / f"{job.name}.json")
    return True


def gather(usual_save: str, teacher_job: Callable[[Path], Job], plan: Plan) -> None:
    """Train the teacher if none is given, then what is left of the runs; ends with the exit status.

    usual_save: where the runs go without SAVE; teacher_job: the run that leaves the teacher below there.
    """
    save = path(told("SAVE", usual_save))
    out = path(told("OUT", str(save / "results")))
    try:
        seeds = [non_negative_int(seed) for seed in told("SEEDS", "1 2 3").split()]
        slots = [None] * positive_int(told("JOBS", "2"))
    except argparse.ArgumentTypeError as error:
        raise UserError(f"SEEDS or JOBS: {error}; write them like SEEDS='1 2 3' JOBS=2") from error
    for variable, folder in (("SAVE", save), ("OUT", out)):
        check_folder(folder, variable)
    runner = Runner(slots, save / "logs", lambda job: True)
    made = teacher_job(save)
    teacher = path(told("TEACHER", str(made.leaves)))
    if not os.environ.get("TEACHER"):
        if not teacher.exists():
            runner.run([made])
        elif said := complaint(made):
            raise UserError(said)
    os.environ["OMP_NUM_THREADS"] = "1"
    out.mkdir(parents=True, exist_ok=True)
    runner.is_done = partial(collect, save=save, out=out)
    jobs = plan(teacher, save, seeds)
    runner.run([job for job in jobs if not (out / f"{job.name}.json").exists()])
    sys.exit(runner.tell_failures(len(jobs)))
