"""Fetch the published CIFAR-100 teachers to <save_folder>/models/<name>_vanilla/ckpt_epoch_240.pth.

    python -m scripts.fetch_teachers                            all six
    python -m scripts.fetch_teachers resnet56 wrn_40_2          some
    TEACHER_URL=https://mirror.example/repo python -m scripts.fetch_teachers    from a mirror

A file gets its name only once it has loaded, without running code, into the network that it is said to hold.
Its size and SHA-256 are kept in <save_folder>/models/teachers.json, and a later fetch must bring the same
bytes. What cannot be fetched is taken from pretrained/<name>.pth where that exists. An interrupted download
goes on where it stopped.

Exit status: 0 when all teachers are there, 1 when one is not, 2 for a wrong argument.
"""

import contextlib
import fcntl
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from helper.arguments import Parser, non_negative_float, non_negative_int, positive_float
from helper.checkpoint import write_checkpoint
from helper.errors import Interrupted, UserError, one_line, run_script
from helper.files import flush_folder, remove_leftovers
from models.checkpoint import load_network
from scripts.download import Patience, discard, download
from scripts.teacher_record import Entry, Fingerprint, TeacherRecord, fingerprint

TEACHERS = ("wrn_40_2", "resnet56", "resnet110", "resnet32x4", "vgg13", "ResNet50")
PUBLISHED = "http://shape2prog.csail.mit.edu/repo"
CHECKPOINT = "ckpt_epoch_240.pth"
PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"
NUM_CLASSES = 100
LONGEST_TIMEOUT = 86_400  # seconds


class Row(NamedTuple):
    """A line of the summary: one teacher, and what is left for the user to do."""

    name: str
    status: str
    size: str = "-"
    sha256: str = "-"
    to_do: str = "-"
    there: bool = True

    @classmethod
    def of_file(cls, name: str, status: str, file: Fingerprint) -> "Row":
        """The line of a teacher that has a file."""
        return cls(name, status, f"{file.size / 1e6:.1f} MB", file.short)


def load_checked(file: Path, name: str) -> dict:
    """The content of a checkpoint that loads strictly into the teacher's network, with finite weights.

    Raises UserError with the reason alone: what to do differs between a download and a user's own file.
    """
    try:
        network, _, content = load_network(file, NUM_CLASSES, name)
        finite = all(bool(value.isfinite().all()) for value in network.state_dict().values())
    except UserError as error:
        raise UserError(one_line(error).split("; ")[0]) from error
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{file} is not a checkpoint of {name}") from error
    if not finite:
        raise UserError(f"{file} has weights that are not finite numbers")
    return content


class Fetcher:
    """Brings teachers into the models folder, from the web (below the address `base`) or from pretrained/."""

    def __init__(self, models: Path, base: str, patience: Patience):
        self.models = models
        self.base = base
        self.patience = patience
        self.record = TeacherRecord(models / "teachers.json")

    def fetch(self, name: str) -> Row:
        """Bring one teacher and say in a line how it went; a failure is a row too, not an exception."""
        path = self.models / f"{name}_vanilla" / CHECKPOINT
        if os.path.lexists(path):
            return self.keep(name, path)
        ways = [("fetched", self.from_web)]
        if (PRETRAINED / f"{name}.pth").is_file():
            ways.append(("from pretrained/", self.from_pretrained))
        for status, bring in ways:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                bring(name, path)
            except (UserError, OSError) as error:
                say(name, one_line(error))
                continue
            say(name, f"{status}, checked ({path})")
            return Row.of_file(name, status, self.record.entries[name].file)
        return Row(name, "failed", there=False, to_do=self.training_command(name))

    def keep(self, name: str, path: Path) -> Row:
        """Check a file that is already there, against the record or, if it has no entry, by loading it."""
        advice = f"remove {path}, then fetch again"
        first = self.record.entries.get(name)
        try:
            file = fingerprint(path)
            if first is None:
                load_checked(path, name)
        except (UserError, OSError) as error:
            say(name, one_line(error))
            return Row(name, "damaged", there=False, to_do=advice)
        if first is None or file == first.file:
            say(name, f"already there, checked ({path})")
            return Row.of_file(name, "already there", file)
        say(
            name,
            f"{path} is not the file that was fetched: its SHA-256 is {file.short}, recorded is "
            f"{first.file.short}; {advice} (or, if it is your own, remove {name!r} from {self.record.path})",
        )
        return Row.of_file(name, "differs", file)._replace(there=False, to_do=advice)

    def from_web(self, name: str, path: Path) -> None:
        """Download the teacher; raises UserError when that fails or brings something else."""
        url = f"{self.base}/{name}_vanilla/{CHECKPOINT}"
        part = part_of(path)
        for last in (False, True):
            in_pieces = download(url, part, self.patience)
            try:
                origin = fingerprint(part)
                self.record.refuse_change(name, origin, url)
                load_checked(part, name)
                break
            except UserError as error:
                discard(part)
                # Pieces fetched at different times may not belong together: once more, from the start.
                if last or not in_pieces:
                    raise UserError(str(error).replace(str(part), url)) from error
        self.put_in_place(name, path, Entry(origin, origin, url))

    def from_pretrained(self, name: str, path: Path) -> None:
        """Take the teacher from the repository, its half-precision weights as float32."""
        source = PRETRAINED / f"{name}.pth"
        origin = fingerprint(source)
        self.record.refuse_change(name, origin, str(source))
        content = load_checked(source, name)
        weights = {k: v.float() if v.is_floating_point() else v for k, v in content["model"].items()}
        part = part_of(path)
        discard(part)
        write_checkpoint({**content, "model": weights}, part)
        load_checked(part, name)
        self.put_in_place(name, path, Entry(fingerprint(part), origin, f"pretrained/{name}.pth"))

    def put_in_place(self, name: str, path: Path, entry: Entry) -> None:
        """Record a checked part and give it its final name."""
        part = part_of(path)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        # The record comes first: a kill in between leaves no file that nobody remembers.
        self.record.add(name, entry)
        os.replace(part, path)
        discard(part)
        flush_folder(path.parent)

    def training_command(self, name: str) -> str:
        """The command that trains this teacher here, into the same place."""
        folder = self.models.parent
        return f"python train_teacher.py --model {name}" + (
            "" if folder == Path("save") else f" --save_folder {shlex.quote(str(folder))}"
        )


def part_of(path: Path) -> Path:
    """Where a file stands until it is complete and checked."""
    return path.with_name(path.name + ".part")


def say(name: str, text: str) -> None:
    """One line about one teacher, at once: the next one may take minutes."""
    print(f"{name}: {text}", flush=True)


def table(rows: Sequence[Row]) -> str:
    """The summary at the end, in aligned columns."""
    lines = [("teacher", "status", "size", "SHA-256", "what to do")]
    lines += [(row.name, row.status, row.size, row.sha256, row.to_do) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)] + [0]
    return "\n".join("  ".join(map(str.ljust, line, widths)) for line in lines)


@contextlib.contextmanager
def alone(models: Path) -> Iterator[None]:
    """Hold the models folder: two fetches would write into the same parts. A dead one holds nothing."""
    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = open(models / ".fetch.lock", "w")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot write {models}: {error.strerror}; give another --save_folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another fetch is under way in {models}: wait until it ends") from error
        remove_leftovers(models)
        yield


def interrupted(models: Path) -> Interrupted:
    """What Ctrl-C says: which downloads are kept, and how to go on."""
    parts = sorted(models.glob(f"*/{CHECKPOINT}.part"))
    kept = ", ".join(f"{part} ({part.stat().st_size / 1e6:.1f} MB)" for part in parts)
    if not kept:
        return Interrupted("interrupted; no download had begun")
    return Interrupted(f"interrupted; {kept} is kept: the same command goes on from there")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the teachers that the arguments name; returns the exit status."""
    parser = Parser(__doc__)
    parser.prog = "python -m scripts.fetch_teachers"
    parser.add_argument("names", nargs="*", metavar="name", help=f"default: all of {', '.join(TEACHERS)}")
    parser.add_argument("--save_folder", type=Path, default=Path("save"), help="default save")
    parser.add_argument("--timeout", type=positive_float, default=30.0, help="seconds to wait (default 30)")
    parser.add_argument("--retries", type=non_negative_int, default=3, help="further attempts (default 3)")
    parser.add_argument(
        "--backoff", type=non_negative_float, default=1.0, help="first pause, seconds (default 1)"
    )
    args = parser.parse_args(arguments)
    for name in args.names:
        if name not in TEACHERS:
            raise UserError(f"unknown teacher {name!r}; the published teachers are {', '.join(TEACHERS)}")
    if args.timeout > LONGEST_TIMEOUT:
        raise UserError(f"--timeout is {args.timeout:g} seconds: at most {LONGEST_TIMEOUT} are allowed")
    base = os.environ.get("TEACHER_URL", "").rstrip("/") or PUBLISHED
    if not re.match(r"https?://[^/\s]", base):
        raise UserError(
            f"TEACHER_URL is {base!r}: it must be an address that begins with http:// or https://"
        )
    models = args.save_folder / "models"
    with alone(models):
        fetcher = Fetcher(models, base, Patience(args.timeout, args.retries, args.backoff))
        try:
            rows = [fetcher.fetch(name) for name in dict.fromkeys(args.names or TEACHERS)]
        except KeyboardInterrupt as stop:
            raise interrupted(models) from stop
    print(table(rows))
    return 0 if all(row.there for row in rows) else 1


if __name__ == "__main__":
    run_script(lambda: sys.exit(main()))
