"""Which commands make the tables, which of them are done already, and roughly how much work each is."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from dataset.data import add_data_arguments
from engine.optimizer import add_training_arguments
from engine.run_folder import add_run_arguments
from helper.arguments import Parser
from helper.errors import UserError
from helper.recipe import BATCH_SIZE
from models.checkpoint import teacher_copy_path
from reporting.published import STANDARD_GROUP, by_number
from reporting.runs import Run

# GFLOP per step of train_modreduce.py at batch 64, by experiment, and millions of multiplications of a
# network for one 32 x 32 image: they only weigh the runs against each other, to estimate the time left
GROUP_GFLOP = (263, 240, 89, 106, 138, 708, 522, 233, 762, 906, 495, 525, 742, 748, 151)
MEGA_PRODUCTS = {
    "wrn_40_2": 328, "resnet56": 126, "resnet110": 253, "vgg13": 285, "resnet32x4": 1083, "wrn_16_2": 101,
    "wrn_40_1": 83, "resnet20": 41, "resnet32": 69, "MobileNetV2": 7, "ShuffleV1": 39, "ShuffleV2": 45,
    "resnet8x4": 177, "vgg8": 96,
}  # fmt: skip
STEP_OVERHEAD_GFLOP = 100  # what starting a step's small kernels costs, per network that is trained
SHORT_FLAGS = {"r": "gamma", "a": "alpha", "b": "beta"}
OWN_FLAGS = (
    *("seed", "trial", "epochs", "dataset", "online", "model", "model_s", "path_t", "model_t"),
    *("distill", "save_folder", "resume"),
)
FREE_FLAGS = ("device", "data_folder", "deterministic", "compile", "cuda_graph")


@dataclass(frozen=True)
class Settings:
    """What a reproduction shares over its runs; extra: further flags, each with its words."""

    dataset: str = "cifar100"
    epochs: int = 240
    save_folder: Path = Path("save")
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def flags(self, names: Iterable[str] | None = None) -> list[str]:
        """The further flags as words of a command; names: only those that the script knows."""
        known = None if names is None else set(names)
        words: list[str] = []
        for name, values in self.extra.items():
            if known is None or name in known:
                words += [f"--{name}", *values]
        return words


@dataclass(frozen=True)
class Job:
    """One run: the words after `python`, the checkpoint it needs, and the one that a teacher leaves."""

    name: str
    words: tuple[str, ...]
    script: str
    model: str
    seed: int
    work: float
    teacher: str | None = None
    online: str | None = None
    needs: Path | None = None
    leaves: Path | None = None

    @property
    def command(self) -> str:
        """The command as a user would type it."""
        return shlex.join(["python", *self.words])


@cache
def teacher_flags() -> frozenset[str]:
    """The flags that train_teacher.py has in common with train_modreduce.py."""
    flags = Parser(None)
    add_data_arguments(flags, [])
    add_training_arguments(flags)
    add_run_arguments(flags)
    return frozenset(action.dest for action in flags._actions)


def read_extra(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Further flags and their words; UserError for a flag that the reproduction sets itself."""
    extra: dict[str, tuple[str, ...]] = {}
    name = None
    for word in words:
        is_flag = word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit()
        if is_flag:
            name, _, value = word.lstrip("-").partition("=")
            name = SHORT_FLAGS.get(name, name)
            if name in OWN_FLAGS:
                raise UserError(f"{word} after -- is set for each run: leave it out (see --help)")
            extra[name] = (value,) if value else ()
        elif name is None:
            raise UserError(
                f"{word!r} after -- is no flag: give flags of train_modreduce.py, like --precision fp32"
            )
        else:
            extra[name] += (word,)
    return extra


def plan(
    experiments: Sequence[int], seeds: Sequence[int], onlines: Sequence[str], settings: Settings
) -> list[Job]:
    """The runs in the order in which they should start: a teacher just before the first run that needs it."""
    jobs: dict[tuple, Job] = {}
    teachers: dict[tuple[str, ...], Job] = {}
    for seed in seeds:
        for number in experiments:
            experiment = by_number(number)
            teacher = network_job(experiment.teacher, seeds[0], settings, is_teacher=True)
            group = [group_job(number, online, seed, settings) for online in ("none", *onlines)]
            teachers[teacher.words] = teacher
            for job in (teacher, *group, network_job(experiment.student, seed, settings)):
                jobs.setdefault((job.words, job.leaves), job)
    # the same command as a teacher's: the teacher's run is this student's too, once it is there
    return [
        replace(job, needs=teachers[job.words].leaves) if job.words in teachers and not job.leaves else job
        for job in jobs.values()
    ]


def network_job(model: str, seed: int, settings: Settings, is_teacher: bool = False) -> Job:
    """A network alone; a teacher is done once its checkpoint stands there, whoever made it."""
    words = ["train_teacher.py", "--model", model, *_common(seed, settings), *settings.flags(teacher_flags())]
    leaves = teacher_copy_path(settings.save_folder, model, settings.dataset, settings.epochs)
    return Job(
        f"{'teacher' if is_teacher else 'alone'}_{model}_seed{seed}",
        tuple(words),
        "train_teacher",
        model,
        seed,
        settings.epochs * (3 * 2 * 64 * MEGA_PRODUCTS[model] / 1000 + STEP_OVERHEAD_GFLOP),
        leaves=leaves if is_teacher else None,
    )


def group_job(number: int, online: str, seed: int, settings: Settings) -> Job:
    """Three students of an experiment, offline only with 'none'."""
    experiment = by_number(number)
    teacher = teacher_copy_path(settings.save_folder, experiment.teacher, settings.dataset, settings.epochs)
    words = ["train_modreduce.py", "--path_t", str(teacher), "--model_s", experiment.student]
    words += ["--distill", *STANDARD_GROUP, "--online", online, *_common(seed, settings), *settings.flags()]
    return Job(
        f"{experiment.folder}_{online}_seed{seed}",
        tuple(words),
        "train_modreduce",
        experiment.student,
        seed,
        settings.epochs * (GROUP_GFLOP[number - 1] + 3 * STEP_OVERHEAD_GFLOP),
        teacher=experiment.teacher,
        online=None if online == "none" else online,
        needs=teacher,
    )


def _common(seed: int, settings: Settings) -> list[str]:
    words = ["--dataset", settings.dataset, "--epochs", str(settings.epochs), "--seed", str(seed)]
    words += ["--trial", str(seed)]
    if settings.save_folder != Path("save"):
        words += ["--save_folder", str(settings.save_folder)]
    return [*words, "--resume"]


def finished_run(job: Job, runs: Iterable[Run], settings: Settings) -> Run | None:
    """A finished run of exactly this job: same networks, methods, seed, length and further flags."""
    return next((run for run in runs if _is_same(job, run, settings)), None)


def _is_same(job: Job, run: Run, settings: Settings) -> bool:
    results, table = run.results, run.table
    asked = (job.script, settings.dataset, settings.epochs, job.seed)
    if asked != (results.script, results.dataset, results.epochs, results.seed):
        return False
    if (job.teacher or "", job.model, job.online or "") != (table["teacher"], run.student, run.online):
        return False
    methods = [student.method or "" for student in results.students]
    if job.script == "train_modreduce" and tuple(methods) != STANDARD_GROUP:
        return False
    if run.settings.get("online_start") and "online_start" not in settings.extra:
        return False
    extra = dict(settings.extra)
    if job.script == "train_teacher":
        extra = {name: words for name, words in extra.items() if name in teacher_flags()}
    told = {name: words for name, words in extra.items() if name not in FREE_FLAGS and words != ("auto",)}
    if any(not _agrees(run.settings.get(name), words) for name, words in told.items()):
        return False
    published = (table["train_size"], table["val_split"], table["batch_size"]) == (0, 0.0, BATCH_SIZE)
    sizes = {"train_size", "val_split", "batch_size"}
    changed = {name for name, _ in run.variant(methods)}
    return changed <= extra.keys() and (published or bool(sizes & extra.keys()))


def _agrees(value: Any, words: tuple[str, ...]) -> bool:
    """Whether a setting of a run is what the words of a flag ask for."""
    if isinstance(value, bool):
        return value and not words
    if not isinstance(value, list):
        value = [value]
    told = [part for word in words for part in word.split(",")]
    return len(value) == len(told) and all(_same(*pair) for pair in zip(value, told, strict=True))


def _same(value: Any, word: str) -> bool:
    try:
        return float(value) == float(word)
    except (TypeError, ValueError):
        return str(value) == word
