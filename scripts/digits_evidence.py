"""The comparison of results/digits: every method of the zoo alone on digits, three seeds, and modern peers.

Started by scripts/digits_evidence.sh, which says what TEACHER, OUT, SAVE, SEEDS and JOBS are. Exit status: 0
when everything is there, 1 when a run failed.
"""

from collections.abc import Sequence
from pathlib import Path

from distiller_zoo import distiller_dict
from helper.errors import run_script
from scripts.evidence import gather, run_folder
from scripts.reproduce import ALONE, GROUP
from scripts.runner import Job

STUDENT = "train_student.py"
EPOCHS, TEACHER_EPOCHS = 5, 8
STANDARDISED = ("kd", "dkd")
LONGER, SLOW = 10, ("ft",)  # epochs for those that do not arrive in 5
PEERS = (("dkd", "itrd", "dist"), ("kd", "reviewkd", "simkd"))


def teacher_job(save: Path) -> Job:
    """The run of the resnet14 that teaches."""
    leaves = save / f"models/resnet14_digits/ckpt_epoch_{TEACHER_EPOCHS}.pth"
    words = ["--dataset", "digits", "--model", "resnet14", "--epochs", str(TEACHER_EPOCHS)]
    return Job(
        "teacher", (ALONE, *words, "--save_folder", str(save), "--resume"), TEACHER_EPOCHS, leaves=leaves
    )


def plan(teacher: Path, save: Path, seeds: Sequence[int]) -> list[Job]:
    """The runs of all seeds: a student alone, one of each method, two groups of modern peers."""

    def job(name: str, seed: int, *words: str, needs: Path | None = teacher, epochs: int = EPOCHS) -> Job:
        name = f"{name}_seed_{seed}"
        common = ["--dataset", "digits", "--batch_size", "32", "--epochs", str(epochs), "--clip_grad", "5"]
        common += ["--lr_decay_epochs", str(epochs - 1), "--seed", str(seed), "--trial", str(seed)]
        common += run_folder(save, name)
        return Job(name, (*words, *common), epochs, needs)

    methods = [name for name in distiller_dict if name not in distiller_dict.aliases()]
    taught = ("--path_t", str(teacher), "--model_s", "resnet8", "--distill")
    jobs = []
    for seed in seeds:
        jobs.append(job("alone", seed, ALONE, "--model", "resnet8", needs=None))
        jobs += [job(method, seed, STUDENT, *taught, method) for method in methods]
        jobs += [
            job(f"{method}_standardised", seed, STUDENT, *taught, method, "--logit_stand")
            for method in STANDARDISED
        ]
        jobs += [job(f"{method}_longer", seed, STUDENT, *taught, method, epochs=LONGER) for method in SLOW]
        jobs += [
            job("_".join(["wavg", *peers]), seed, GROUP, *taught, *peers, "--online", "wavg")
            for peers in PEERS
        ]
    return jobs


def main() -> None:
    """Run what is left of the comparison."""
    gather("save/digits", teacher_job, plan)


if __name__ == "__main__":
    run_script(main)
