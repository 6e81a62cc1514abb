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

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from helper.arguments import Parser, non_negative_float, non_negative_int, path, positive_float
from helper.errors import Interrupted, UserError, one_line, run_script
from helper.files import flush_folder, locked, remove_leftovers, write_atomically
from scripts import ROOT, as_typed
from scripts.download import Downloader, discard

TEACHERS = ("wrn_40_2", "resnet56", "resnet110", "resnet32x4", "vgg13", "ResNet50")
PUBLISHED = "http://shape2prog.csail.mit.edu/repo"
CHECKPOINT = "ckpt_epoch_240.pth"
PRETRAINED = ROOT / "pretrained"
NUM_CLASSES = 100
LONGEST_TIMEOUT = 86_400  # seconds
say = partial(print, flush=True)


class Fetcher:
    """Brings teachers into the models folder, from the web (below the address `base`) or from pretrained/.

    record: teachers.json. An entry is the fingerprint of the teacher's file, that of the file that it was
    made of ("origin": another one for a teacher from pretrained/) and where that was ("source").
    """

    def __init__(self, models: Path, base: str, downloader: Downloader):
        self.models, self.base, self.downloader = models, base, downloader
        self.record_file = models / "teachers.json"
        self.record = read_record(self.record_file)

    def fetch(self, name: str) -> tuple[str, ...]:
        """Bring one teacher, say how it went, and return its row of the summary; a failure is a row too."""
        place = self.models / f"{name}_vanilla" / CHECKPOINT
        if os.path.lexists(place):
            return self.keep(name, place)
        part = place.with_name(place.name + ".part")
        ways = {"fetched": self.from_web, "from pretrained/": self.from_pretrained}
        for status, bring in ways.items():
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                entry = bring(name, part)
                if entry is None:
                    continue
                self.record[name] = entry
                # the record comes first: after a kill in between, the next fetch still compares with it
                write_atomically(self.record_file, json.dumps(self.record, indent=2) + "\n")
                os.replace(part, place)
                discard(part)
                flush_folder(place.parent)
            except (UserError, OSError) as error:
                say(f"{name}: {one_line(error)}")
            else:
                say(f"{name}: {status}, checked ({place})")
                return row(name, status, entry)
        folder = self.models.parent
        own = [] if folder == Path("save") else ["--save_folder", str(folder)]
        command = ["python", as_typed("train_teacher.py"), "--model", name, *own]
        return row(name, "failed", to_do=shlex.join(command))

    def keep(self, name: str, place: Path) -> tuple[str, ...]:
        """Check a file that is already there, against the record or, if it has no entry, by loading it."""
        advice = f"remove {place}, then fetch again"
        first = self.record.get(name)
        try:
            file = fingerprint(place)
            if first is None:
                load_checked(place, name)
            elif not file.items() <= first.items():
                raise UserError(
                    f"{place} is not the file that was fetched: its SHA-256 is {short(file)}, "
                    f"recorded is {short(first)}; {advice} (or, if it is your own, remove {name!r} from "
                    f"{self.record_file})"
                )
        except (UserError, OSError) as error:
            say(f"{name}: {one_line(error)}")
            return row(name, "differs" if first else "damaged", to_do=advice)
        say(f"{name}: already there, checked ({place})")
        return row(name, "already there", file)

    def from_web(self, name: str, part: Path) -> dict:
        """Download the teacher as the part; raises UserError when that fails or brings something else."""
        url = f"{self.base}/{name}_vanilla/{CHECKPOINT}"
        in_pieces = self.downloader.download(url, part)
        try:
            origin, _ = self.accept(name, part, url)
        except UserError as error:
            discard(part)
            if in_pieces:  # of different times, they may not belong together: all of it, once more
                return self.from_web(name, part)
            raise UserError(str(error).replace(str(part), url)) from error
        return {**origin, "origin": origin, "source": url}

    def from_pretrained(self, name: str, part: Path) -> dict | None:
        """Take the repository's teacher, its half-precision weights as float32; None if it has none."""
        from helper.checkpoint import write_checkpoint

        source = PRETRAINED / f"{name}.pth"
        if not source.is_file():
            return None
        origin, content = self.accept(name, source, str(source))
        weights = {k: v.float() if v.is_floating_point() else v for k, v in content["model"].items()}
        discard(part)
        write_checkpoint({**content, "model": weights}, part)
        load_checked(part, name)
        return {**fingerprint(part), "origin": origin, "source": f"pretrained/{name}.pth"}

    def accept(self, name: str, file: Path, source: str) -> tuple[dict, dict]:
        """Fingerprint and content of a file; UserError if it does not load or is not that of the record."""
        origin, first = fingerprint(file), self.record.get(name)
        if first and first["origin"] != origin:
            raise UserError(
                f"{source} is not the {name} first fetched from {first['source']}: SHA-256 {short(origin)}, "
                f"recorded {short(first['origin'])}; to accept it, remove {name!r} from {self.record_file}"
            )
        return origin, load_checked(file, name)


def load_checked(file: Path, name: str) -> dict:
    """The content of a checkpoint that loads strictly into the teacher's network, with finite weights.

    Raises UserError with the reason alone: what to do differs between a download and a user's own file.
    """
    from models.checkpoint import load_network

    try:
        return load_network(file, NUM_CLASSES, name)[2]
    except UserError as error:
        raise UserError(one_line(error).split("; ")[0]) from error
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{file} is not a checkpoint of {name}") from error


def fingerprint(file: Path) -> dict:
    """Size in bytes and SHA-256 (hexadecimal) of a file."""
    content = file.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def short(file: dict) -> str:
    """The first digits of a fingerprint's SHA-256, enough to tell two files apart by eye."""
    return file["sha256"][:12]


def read_record(file: Path) -> dict[str, dict]:
    """teachers.json: what each teacher was when it was first fetched. Raises UserError when it is damaged."""
    try:
        record = json.loads(file.read_text()) if file.exists() else {}
        for name, entry in record.items():
            for known in (entry, entry["origin"]):
                if not (isinstance(known["size"], int) and len(known["sha256"]) == 64 and entry["source"]):
                    raise ValueError(name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is damaged: mend it, or remove it to accept what is there") from error
    return record


def row(name: str, status: str, file: dict | None = None, to_do: str = "-") -> tuple[str, ...]:
    """A line of the summary: a teacher, and what is left for the user to do."""
    return name, status, *((f"{file['size'] / 1e6:.1f} MB", short(file)) if file else "--"), to_do


def interrupted(models: Path) -> Interrupted:
    """What Ctrl-C says: which downloads are kept, and how to go on."""
    parts = sorted(models.glob(f"*/{CHECKPOINT}.part"))
    if not parts:
        return Interrupted("interrupted; no download had begun")
    kept = ", ".join(f"{part} ({part.stat().st_size / 1e6:.1f} MB)" for part in parts)
    return Interrupted(f"interrupted; {kept} is kept: the same command goes on from there")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the teachers that the arguments name; returns the exit status."""
    parser = Parser(__doc__)
    parser.prog = "python -m scripts.fetch_teachers"
    add = parser.add_argument
    add("names", nargs="*", metavar="name", help=f"default: all of {', '.join(TEACHERS)}")
    add("--save_folder", type=path, default=Path("save"), help="root of all runs (default save)")
    add("--timeout", type=positive_float, default=30.0, help="seconds to wait (default 30)")
    add("--retries", type=non_negative_int, default=3, help="further attempts (default 3)")
    add("--backoff", type=non_negative_float, default=1.0, help="first pause, seconds (default 1)")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in TEACHERS]:
        raise UserError(f"unknown teacher {unknown[0]!r}; the published teachers are {', '.join(TEACHERS)}")
    if args.timeout > LONGEST_TIMEOUT:
        raise UserError(f"--timeout is {args.timeout:g} seconds: at most {LONGEST_TIMEOUT} are allowed")
    base = os.environ.get("TEACHER_URL", "").rstrip("/") or PUBLISHED
    if not re.match(r"https?://[^/\s]", base):
        raise UserError(
            f"TEACHER_URL is {base!r}: it must be an address that begins with http:// or https://"
        )
    models = args.save_folder / "models"
    with locked(models, ".fetch.lock", f"another fetch is under way in {models}: wait until it ends"):
        remove_leftovers(models)
        fetcher = Fetcher(models, base, Downloader(args.timeout, args.retries, args.backoff))
        try:
            rows = [fetcher.fetch(name) for name in dict.fromkeys(args.names or TEACHERS)]
        except KeyboardInterrupt as stop:
            raise interrupted(models) from stop
    lines = [("teacher", "status", "size", "SHA-256", "what to do"), *rows]
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:-1]]
    say("\n".join("  ".join(map(str.ljust, line, [*widths, 0])) for line in lines))
    return 0 if all(line[-1] == "-" for line in rows) else 1


if __name__ == "__main__":
    run_script(lambda: sys.exit(main()))
