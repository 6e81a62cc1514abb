"""The comparison of results/cpu: every method on a slice of CIFAR-100, three seeds, no GPU.

Started by scripts/cpu_evidence.sh, which says what TEACHER, DATA, OUT, SAVE, SEEDS and JOBS are. Exit status:
0 when everything is there, 1 when a run failed.
"""

import argparse
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path

from helper.arguments import non_negative_int, path, positive_int
from helper.errors import UserError, run_script
from helper.files import check_folder
from scripts.reproduce import ALONE, GROUP, METHODS, complaint
from scripts.runner import Job, Runner

GROUPS = [("none", METHODS), ("wavg", METHODS), ("none", ("rkd", "fitnet"))]
GROUPS += [(online, METHODS) for online in ("one", "fc", "pcl")]
EPOCHS, TEACHER_EPOCHS = 6, 24


def plan(teacher: Path, data: Path, save: Path, seeds: list[int]) -> list[Job]:
    """The runs of all seeds: a student alone, and every ensemble and method."""

    def job(name: str, seed: int, *words: str, needs: Path | None = teacher) -> Job:
        name = f"{name}_seed_{seed}"
        common = ["--train_size", "10000", "--epochs", str(EPOCHS), "--lr_decay_epochs", "4,5"]
        common += ["--data_folder", str(data), "--seed", str(seed), "--trial", str(seed), "--resume"]
        return Job(name, (*words, *common, "--save_folder", str(save / "runs" / name)), EPOCHS, needs)

    def group(online: str, methods: tuple[str, ...], seed: int, label: str = "", *flags: str) -> Job:
        words = ["--path_t", str(teacher), "--model_s", "resnet8", "--distill", *methods, "--online", online]
        words += ["--nce_k", "2048"] if "crd" in methods else []
        return job(label + "_".join([online, *methods]), seed, GROUP, *words, *flags)

    jobs = []
    for seed in seeds:
        jobs.append(job("alone", seed, ALONE, "--model", "resnet8", needs=None))
        jobs += [group(online, methods, seed) for online, methods in GROUPS]
    # one seed of what results/README.md explains the others with
    return [*jobs, group("pcl", METHODS, 1, "quick_", "--pcl_decay", "0.9", "--pcl_ramp_up", "1")]


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


def main() -> None:
    """Train the teacher if none is given, then what is left of the runs."""

    def told(variable: str, usual: str) -> str:
        return os.environ.get(variable) or usual

    save, data = path(told("SAVE", "save/cpu")), path(told("DATA", "data"))
    out = path(told("OUT", str(save / "results")))
    try:
        seeds = [non_negative_int(seed) for seed in told("SEEDS", "1 2 3").split()]
        slots = [None] * positive_int(told("JOBS", "2"))
    except argparse.ArgumentTypeError as error:
        raise UserError(f"SEEDS or JOBS: {error}; write them like SEEDS='1 2 3' JOBS=2") from error
    for variable, folder in (("SAVE", save), ("OUT", out)):
        check_folder(folder, variable)
    runner = Runner(slots, save / "logs", lambda job: True)
    teacher = path(told("TEACHER", str(save / f"models/resnet20_vanilla/ckpt_epoch_{TEACHER_EPOCHS}.pth")))
    if not os.environ.get("TEACHER"):
        words = ["--model", "resnet20", "--epochs", str(TEACHER_EPOCHS), "--data_folder", str(data)]
        words += ["--save_folder", str(save), "--resume"]
        job = Job("teacher", (ALONE, *words), TEACHER_EPOCHS, leaves=teacher)
        if not teacher.exists():
            runner.run([job])
        elif said := complaint(job):
            raise UserError(said)
    os.environ["OMP_NUM_THREADS"] = "1"
    out.mkdir(parents=True, exist_ok=True)
    runner.is_done = partial(collect, save=save, out=out)
    jobs = plan(teacher, data, save, seeds)
    runner.run([job for job in jobs if not (out / f"{job.name}.json").exists()])
    sys.exit(runner.tell_failures(len(jobs)))


if __name__ == "__main__":
    run_script(main)
