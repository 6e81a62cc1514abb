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

import contextlib
import importlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset import dataset_dict
from helper.arguments import Parser, path, positive_int
from helper.errors import UserError, run_script
from helper.files import check_folder
from helper.recipe import EPOCHS
from helper.results import read_json
from modreduce import ensemble_dict
from reporting.published import EXPERIMENTS, MEASURED_ORDER, Experiment, by_number
from scripts import as_typed
from scripts.runner import Job, Runner, say

if TYPE_CHECKING:
    from engine.settings import Settings

METHODS = ("kd", "crd", "semckd")
ALONE, GROUP = "train_teacher.py", "train_modreduce.py"


@dataclass(frozen=True)
class Reproduction:
    """What a reproduction shares over its runs; extra: further words of their commands."""

    dataset: str = "cifar100"
    epochs: int = EPOCHS
    save_folder: Path = Path("save")
    extra: tuple[str, ...] = ()

    def network(self, model: str, seed: int, is_teacher: bool = False) -> Job:
        """A network alone; a teacher is done once its checkpoint stands there, whoever made it."""
        from models.checkpoint import teacher_copy_path

        name = f"{'teacher' if is_teacher else 'alone'}_{model}_seed{seed}"
        words = ["--model", model, *self.common(seed), *words_for(ALONE, ["--model", model], self.extra)]
        place = teacher_copy_path(self.save_folder, model, self.dataset, self.epochs)
        return Job(name, (ALONE, *words), self.epochs, leaves=place if is_teacher else None)

    def group(self, experiment: Experiment, teacher: Path, online: str, seed: int) -> Job:
        """Three students of an experiment, offline only with 'none'."""
        name = f"{experiment.folder}_{online}_seed{seed}"
        words = ["--path_t", str(teacher), "--model_s", experiment.student, "--distill", *METHODS]
        words += ["--online", online, *self.common(seed), *self.extra]
        return Job(name, (GROUP, *words), self.epochs, needs=teacher)

    def common(self, seed: int) -> list[str]:
        """The words of every command."""
        words = ["--dataset", self.dataset, "--epochs", str(self.epochs), "--seed", str(seed)]
        words += ["--trial", str(seed)]
        if self.save_folder != Path("save"):
            words += ["--save_folder", str(self.save_folder)]
        return [*words, "--resume"]


def parser() -> Parser:
    """The flags of this program."""
    flags = Parser(__doc__)
    add = flags.add_argument
    add("--experiments", default="all", help="numbers like 9,5,8 or 1-5 (default all)")
    add("--seeds", default="1", help="seeds like 1,2,3 (default 1); the first trains the teachers")
    add("--online", default="wavg", help="online methods like wavg,one,fc,pcl (default wavg)")
    add("--epochs", type=positive_int, default=EPOCHS, help=f"default {EPOCHS}")
    add("--dataset", default="cifar100", choices=list(dataset_dict), help="default cifar100")
    add("--save_folder", type=path, default=Path("save"), help="root of all runs (default save)")
    add("--gpus", help="GPUs to use, like 0,1 (default: all; none: the CPU)")
    add("--dry_run", action="store_true", help="only print the commands")
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


def slots_of(gpus: str | None, device: str) -> list[str | None]:
    """Values of CUDA_VISIBLE_DEVICES for the runs side by side, or [None] for the CPU."""
    if device == "cpu" or gpus == "none":
        return [None]
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        known = []
    chosen = known if gpus is None else list(dict.fromkeys(gpus.split(",")))
    if unknown := [gpu for gpu in chosen if gpu not in known]:
        there = ", ".join(known) or "none"
        raise UserError(f"--gpus {gpus}: {unknown[0]!r} is not there; GPUs of this machine: {there}")
    return [*chosen] or [None]


@cache
def flags_of(script: str) -> Parser:
    """The flags of a training script."""
    return importlib.import_module(script.removesuffix(".py")).parser()


def words_for(script: str, required: Sequence[str], extra: Sequence[str]) -> list[str]:
    """Those of the further words that a script takes."""
    _, unknown = flags_of(script).parse_known_args([*required, *extra])
    taken = []
    for word in extra:
        if unknown[:1] == [word]:
            unknown.pop(0)
        else:
            taken.append(word)
    return taken


def plan(
    experiments: Sequence[int], seeds: Sequence[int], onlines: Sequence[str], shared: Reproduction
) -> list[Job]:
    """The runs in the order in which they should start: a teacher just before the first run that needs it."""
    jobs: dict[tuple, Job] = {}
    teachers: dict[tuple[str, ...], Job] = {}
    for seed in seeds:
        for experiment in map(by_number, experiments):
            teacher = shared.network(experiment.teacher, seeds[0], is_teacher=True)
            teachers[teacher.words] = teacher
            group = [shared.group(experiment, teacher.leaves, online, seed) for online in ("none", *onlines)]
            for job in (teacher, *group, shared.network(experiment.student, seed)):
                jobs.setdefault((job.words, job.leaves), job)
    # the same command as a teacher's: the teacher's run is this student's too, once it is there
    return [
        replace(job, needs=teachers[job.words].leaves) if job.words in teachers and not job.leaves else job
        for job in jobs.values()
    ]


def check_extra(extra: Sequence[str], jobs: Sequence[Job]) -> str:
    """UserError for words after -- that runs do not take or have already; returns the device they name."""
    own = {"--save_folder", *(word for job in jobs for word in job.words if word.startswith("--"))}
    if extra and not extra[0].startswith("-"):
        raise UserError(f"{extra[0]!r} after -- is no flag: give flags of {GROUP}, like --precision fp32")
    if twice := [flag for word in extra if (flag := word.split("=")[0]) in own]:
        raise UserError(f"{twice[0]} after -- is set for each run: leave it out (see --help)")
    return flags_of(GROUP).parse_args(["--model_s", "any", "--path_t", "any", *extra]).device


@cache
def asked_by(job: Job) -> "Settings":
    """The settings that a job's command asks for."""
    from engine.settings import Settings

    flags = flags_of(job.words[0])
    values = vars(flags.parse_args(job.words[1:]))
    return Settings.of(values, flags.defaults(values), flags.owners)


def differing(job: Job, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs of a run's settings and of those that a job asks for: name -> (there, wanted)."""
    from engine.optimizer import Recipe
    from engine.settings import differences

    usual = ("lr_decay_epochs", Recipe(epochs=job.epochs).decay_epochs)
    sides = [
        {name: value for name, value in side.items() if (name, value) != usual} for side in (before, now)
    ]
    return differences(*sides, asked_by(job).defaults)


def is_run_of(job: Job, settings: Mapping[str, Any]) -> bool:
    """Whether a run's settings are those of a job, but for where and how fast it computed."""
    from engine.settings import identity

    asked, before = asked_by(job), identity(settings)
    precision = asked.compute.precision
    now = identity(asked.nested() | {"resolved": {} if precision == "auto" else {"precision": precision}})
    if differing(job, {name: before[name] for name in before.keys() & now.keys()}, now):
        return False
    teacher = settings.get("options", settings).get("path_t")
    return job.words[0] == ALONE or Path(teacher).parts[-2:] == Path(asked.options["path_t"]).parts[-2:]


def complaint(teacher: Job) -> str | None:
    """What speaks against a teacher's checkpoint that stands there; published and older ones say less."""
    from helper.checkpoint import read_checkpoint
    from models.record import NetworkRecord

    record = NetworkRecord.of(read_checkpoint(teacher.leaves))
    before, now = ({}, {}) if record.changed is None else (record.changed, asked_by(teacher).changed())
    epochs = record.epochs or record.epoch
    if epochs is not None:
        before, now = before | {"epochs": epochs}, now | {"epochs": teacher.epochs}
    found = differing(teacher, before, now)
    # any seed will do, and a network of another name does not load
    told = [
        f"{name} ({a} there, {b} wanted)" for name, (a, b) in found.items() if name not in ("seed", "model")
    ]
    if not told:
        return None
    how = "move it away, and it is trained anew, or give another --save_folder"
    return f"{teacher.leaves} is another teacher: {', '.join(told)}; {how}"


def is_done(job: Job, save_folder: Path) -> bool:
    """Whether a job's result is there: a teacher's checkpoint, or a finished run with the job's settings."""
    if job.leaves:
        return job.leaves.exists() and not complaint(job)
    for results in save_folder.rglob("results.json"):
        with contextlib.suppress(UserError, KeyError, TypeError, AttributeError):
            if is_run_of(job, read_json(results.with_name("args.json"))["settings"]):
                return True
    return False


def main(words: Sequence[str] | None = None) -> None:
    """Run what is left of a reproduction, then the report."""
    words = list(sys.argv[1:] if words is None else words)
    place = words.index("--") if "--" in words else len(words)
    args, extra = parser().parse_args(words[:place]), tuple(words[place + 1 :])
    chosen = ",".join(map(str, MEASURED_ORDER)) if args.experiments == "all" else args.experiments
    experiments = numbers("--experiments", chosen, range(1, len(EXPERIMENTS) + 1))
    seeds = numbers("--seeds", args.seeds, range(2**31))
    onlines = [name for name in dict.fromkeys(args.online.split(",")) if name not in ("", "none")]
    if unknown := [name for name in onlines if name not in ensemble_dict]:
        raise UserError(f"--online {unknown[0]} is unknown; allowed are {', '.join(ensemble_dict)}")
    check_folder(args.save_folder, "--save_folder")
    shared = Reproduction(args.dataset, args.epochs, args.save_folder)
    device = check_extra(extra, plan(experiments, seeds, onlines, shared))
    jobs = plan(experiments, seeds, onlines, replace(shared, extra=extra))
    for job in jobs:
        if job.leaves and job.leaves.exists() and (said := complaint(job)):
            raise UserError(said)
    slots = slots_of(args.gpus, device)
    finished = [job for job in jobs if is_done(job, args.save_folder)]
    left = [job for job in jobs if job not in finished]
    results, out = Path(as_typed("results")), args.save_folder / "report"
    folders = [args.save_folder, *([results] if results.is_dir() else [])]
    if args.dry_run:
        lines = [f"# finished: {job.name}" if job in finished else job.command for job in jobs]
        report = ["python", as_typed("report.py"), *map(str, folders), "--out", str(out)]
        lines.append(shlex.join(report))
        print("\n".join(dict.fromkeys(lines)))
        sys.exit(0)
    where = f"{len(slots)} GPUs" if slots[0] is not None else "the CPU"
    say(f"{len(jobs)} runs, {len(finished)} finished already, {len(left)} to run on {where}")
    runner = Runner(slots, args.save_folder / "reproduce", partial(is_done, save_folder=args.save_folder))
    runner.run(left)
    from reporting.write import write_report

    try:
        say("report: " + ", ".join(map(str, write_report(folders, out))))
    except UserError as error:
        say(f"no report: {error}")
    sys.exit(runner.tell_failures(len(jobs)))


if __name__ == "__main__":
    run_script(main)
