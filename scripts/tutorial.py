"""Run the tutorial, print each command with its output, and write the page of it.

Started by scripts/tutorial.sh, which says what DATASET, DATA and SAVE are.
"""

import itertools
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from helper.arguments import Parser, path
from helper.errors import UserError, run_script
from helper.files import check_new_folder, write_atomically
from helper.packages import require
from helper.results import RESULTS, Results
from scripts import in_root
from scripts.evidence import told
from scripts.tutorial_steps import OPTIONAL, PICTURE, SCALES, Places, Step, steps

Execute = Callable[[Sequence[str]], str]  # the words after `python` -> what it printed
WIDTH, FOLD = 170, 105  # characters of a line of an output, of a command
TOP = """\
# A network of your own, distilled, in ten minutes

Written by `PAGE=docs/tutorial.md sh scripts/tutorial.sh`: every command and every output is real, long
ones are shortened (`...`). `sh scripts/tutorial.sh` repeats it, into `save/tutorial`, after it has installed
what is missing (`sh scripts/setup.sh extra`). The pictures are scikit-learn's digits: no data are downloaded.
After each part stand the seconds that passed and those of the processors in it: of the former there are more
where other programs run too.
Networks, rates and weights were chosen by trials, mostly on seed 1 and by test accuracy: your pictures want
trials of their own.
"""


@dataclass(frozen=True)
class Said:
    """A command and what it printed."""

    command: str
    out: str


def execute(words: Sequence[str]) -> str:
    """Run Python with these words; UserError with the last line of what it said if it fails."""
    script = [in_root(words[0])] if words[0].endswith(".py") else [words[0]]
    done = subprocess.run(
        [sys.executable, *script, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"python {shlex.join(words)} ended with {done.returncode}: {last}")
    return done.stdout


def run_step(step: Step, execute: Execute) -> Iterator[Said]:
    """Run a step's commands, those of `then` two at a time, and tell of each in their order."""

    def said(command: str) -> Said:
        return Said(f"$ python {command}", execute(shlex.split(command)))

    yield from map(said, step.first)
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(said, step.then)
    if step.program:
        yield Said(f"$ python -c '\n{step.program}'", execute(["-c", step.program]))


def shortened(out: str, head: int, tail: int) -> str:
    """The first and last lines of an output, each of at most WIDTH characters."""
    lines = [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in out.splitlines()]
    if len(lines) > head + tail + 1:
        lines = [*lines[:head], "...", *lines[-tail:]]
    return "\n".join(lines)


def folded(command: str) -> str:
    """A command of one line in several, as a shell takes them too."""
    if "\n" in command:
        return command
    lines = [""]
    for words in re.split(r" (?=--)", command):  # a flag stays beside its values
        if lines[-1] and len(lines[-1]) + len(words) >= FOLD:
            lines.append("   ")
        lines[-1] += f" {words}" if lines[-1] else words
    return " \\\n".join(lines)


@dataclass(frozen=True)
class Took:
    """Seconds that passed, and those of the processors in processes that were started and have ended."""

    wall: float
    processor: float

    @staticmethod
    def now() -> "Took":
        """Since some moment in the past."""
        times = os.times()
        return Took(time.monotonic(), times.children_user + times.children_system)

    def since(self) -> "Took":
        """From that moment until now."""
        now = Took.now()
        return Took(now.wall - self.wall, now.processor - self.processor)

    def __str__(self) -> str:
        return f"{self.wall:.0f} seconds, {self.processor:.0f} of processor time"


def part_of_page(step: Step, said: Sequence[Said], took: Took) -> str:
    """A step as a part of the page."""
    shown = [f"{folded(one.command)}\n{shortened(one.out, *step.shown)}".rstrip() for one in said]
    blocks = "\n\n".join(f"```console\n{one}\n```" for one in shown)
    text = f"{step.text}\n\n" if step.text else ""
    return f"## {step.title}\n\n{text}{blocks}\n\n{took}.\n"


def last_epochs(places: Places, seeds: Sequence[int]) -> dict[str, list[float]]:
    """Test accuracy in percent after the last epoch, over the seeds, by what was trained."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        alone, taught = (Results.read(run / RESULTS) for run in (places.alone(seed), places.taught(seed)))
        found.setdefault("alone", []).append(alone.students[0].test_acc_last)
        for student in taught.students:
            found.setdefault(student.name, []).append(student.test_acc_last)
        found.setdefault("ensemble", []).append(taught.ensemble.test_acc_last)
    return found


def verdict(accuracies: dict[str, list[float]], seeds: Sequence[int]) -> str:
    """Each accuracy by seed, their means, and whether the student profits from its teacher."""
    lines = [
        f"| last epoch, % | {' | '.join(f'seed {seed}' for seed in seeds)} | mean |",
        f"|:---|{'---:|' * (len(seeds) + 1)}",
    ]
    means = {name: statistics.fmean(values) for name, values in accuracies.items()}
    lines += [
        f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} | {means[name]:.2f} |"
        for name, values in accuracies.items()
    ]
    gains = {name: means[name] - means["alone"] for name in means if name not in ("alone", "ensemble")}
    compared = ", ".join(f"{name} {gain:+.2f} points" for name, gain in gains.items())
    better = [name for name, gain in gains.items() if gain > 0]
    answer = f"with {' and '.join(better)} it beats" if better else "it does not beat"
    seeded = (
        f"After the last epoch, on the mean of seeds {', '.join(map(str, seeds))}: {answer} the same student "
        f"alone ({compared})."
    )
    return "\n".join([*lines, "", seeded])


def table_of_report(report: Path) -> str:
    """The first table of a report that compares a student alone and taught."""
    _, _, section = report.read_text(encoding="utf-8").partition(" → ")
    lines = section.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    return "\n".join(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))


def tell(parts: Sequence[Step], execute: Execute) -> Iterator[tuple[Step, list[Said], Took]]:
    """Run all steps, print their commands and outputs, and give each with the time that it took."""
    for step in parts:
        begun, said = Took.now(), []
        print(f"\n## {step.title}\n", flush=True)
        for one in run_step(step, execute):
            print(f"{one.command}\n{one.out.rstrip()}", flush=True)
            said.append(one)
        yield step, said, begun.since()


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--short", action="store_true", help="in a minute: for a test, not for the numbers")
    return flags


def tutorial(save: Path, dataset: str, data_folder: str, page: Path | None, short: bool) -> None:
    """Run everything below `save`, and write the page, if it is asked for, with the curves beside it."""
    if dataset not in SCALES:
        raise UserError(f"DATASET is {dataset}, allowed are {', '.join(SCALES)}: choose one")
    scale = SCALES[dataset].shortened() if short else SCALES[dataset]
    check_new_folder(save, "SAVE")
    require(OPTIONAL, "the tutorial")
    places, begun = Places(save), Took.now()
    picture = (save if page is None else page.parent) / PICTURE
    written = [TOP]
    for step, said, took in tell(steps(save, scale, picture, data_folder), execute):
        written.append(part_of_page(step, said, took))
    device = Results.read(places.alone(scale.seeds[0]) / RESULTS).device
    found = verdict(last_epochs(places, scale.seeds), scale.seeds)
    conditions = (
        f"Seeds {', '.join(map(str, scale.seeds))}; {scale.teacher_epochs} epochs of the teacher, "
        f"{scale.student_epochs} of the students; {device}, two runs at a time on {os.cpu_count()} cores; "
        f"all of it took {begun.since()}."
    )
    print(f"\n{found}\n\n{conditions}")
    if page is not None:
        curves = f"![Test accuracy over the epochs]({PICTURE})"
        table = f"The same from `report.md`:\n\n{table_of_report(save / 'report/report.md')}"
        written.append("\n\n".join(["## Does it pay?", found, table, conditions, f"{curves}\n"]))
        write_atomically(page, "\n".join(written))


def main() -> None:
    args = parser().parse_args()
    page = os.environ.get("PAGE")
    where = path(told("SAVE", "save/tutorial"))
    tutorial(where, told("DATASET", "digits"), told("DATA", "data"), path(page) if page else None, args.short)


if __name__ == "__main__":
    run_script(main)
