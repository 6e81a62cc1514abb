"""The comparison of results/cpu: every published method on a slice of CIFAR-100, three seeds, no GPU.

Started by scripts/cpu_evidence.sh, which says what TEACHER, DATA, OUT, SAVE, SEEDS and JOBS are. Exit status:
0 when everything is there, 1 when a run failed.
"""

from collections.abc import Sequence
from pathlib import Path

from helper.arguments import path
from helper.errors import run_script
from scripts.evidence import gather, run_folder, told
from scripts.reproduce import ALONE, GROUP, METHODS
from scripts.runner import Job

GROUPS = [("none", METHODS), ("wavg", METHODS), ("none", ("rkd", "fitnet"))]
GROUPS += [(online, METHODS) for online in ("one", "fc", "pcl")]
EPOCHS, TEACHER_EPOCHS = 6, 24


def data_words() -> list[str]:
    """The words that say where CIFAR-100 is."""
    return ["--data_folder", str(path(told("DATA", "data")))]


def teacher_job(save: Path) -> Job:
    """The run of the resnet20 that teaches."""
    leaves = save / f"models/resnet20_vanilla/ckpt_epoch_{TEACHER_EPOCHS}.pth"
    words = ["--model", "resnet20", "--epochs", str(TEACHER_EPOCHS), *data_words()]
    words += ["--save_folder", str(save), "--resume"]
    return Job("teacher", (ALONE, *words), TEACHER_EPOCHS, leaves=leaves)


def plan(teacher: Path, save: Path, seeds: Sequence[int]) -> list[Job]:
    """The runs of all seeds: a student alone, and every ensemble and method."""

    def job(name: str, seed: int, *words: str, needs: Path | None = teacher) -> Job:
        name = f"{name}_seed_{seed}"
        common = ["--train_size", "10000", "--epochs", str(EPOCHS), "--lr_decay_epochs", "4,5"]
        common += [*data_words(), "--seed", str(seed), "--trial", str(seed), *run_folder(save, name)]
        return Job(name, (*words, *common), EPOCHS, needs)

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


def main() -> None:
    """Run what is left of the comparison."""
    gather("save/cpu", teacher_job, plan)


if __name__ == "__main__":
    run_script(main)
