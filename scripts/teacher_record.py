"""teachers.json: what each teacher was when it was first fetched, so that it never changes unnoticed."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from helper.errors import UserError
from helper.files import write_atomically


class Fingerprint(NamedTuple):
    """Size in bytes and SHA-256 (hexadecimal) of a file."""

    size: int
    sha256: str

    @property
    def short(self) -> str:
        """The first digits of the SHA-256, enough to tell two files apart by eye."""
        return self.sha256[:12]


def fingerprint(file: Path) -> Fingerprint:
    """Size and SHA-256 of a file."""
    sha = hashlib.sha256()
    size = 0
    with open(file, "rb") as content:
        while chunk := content.read(1 << 20):
            sha.update(chunk)
            size += len(chunk)
    return Fingerprint(size, sha.hexdigest())


class Entry(NamedTuple):
    """One teacher: its file as it was put into its folder, the file that it came from, and where that was.

    The two differ for a teacher from pretrained/, whose half-precision weights become float32.
    """

    file: Fingerprint
    origin: Fingerprint
    source: str


class TeacherRecord:
    """The entries of teachers.json by teacher. Raises UserError when the file is damaged."""

    def __init__(self, path: Path):
        self.path = path
        self.entries: dict[str, Entry] = {}
        if not path.exists():
            return
        try:
            for name, entry in json.loads(path.read_text()).items():
                file = Fingerprint(entry["size"], entry["sha256"])
                origin = Fingerprint(entry["origin"]["size"], entry["origin"]["sha256"])
                if not all(isinstance(size, int) and len(sha256) == 64 for size, sha256 in (file, origin)):
                    raise ValueError(name)
                self.entries[name] = Entry(file, origin, str(entry["source"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged: mend it, or remove it to accept what is there") from error

    def refuse_change(self, name: str, origin: Fingerprint, source: str) -> None:
        """Raise UserError when the teacher was fetched before with other bytes."""
        first = self.entries.get(name)
        if first and first.origin != origin:
            raise UserError(
                f"{source} is not the {name} first fetched from {first.source}: SHA-256 {origin.short}, "
                f"recorded {first.origin.short}; to accept it, remove {name!r} from {self.path}"
            )

    def add(self, name: str, entry: Entry) -> None:
        """Remember a teacher and write the file, whole or not at all."""
        self.entries[name] = entry
        content = {
            name: {**file._asdict(), "origin": origin._asdict(), "source": source}
            for name, (file, origin, source) in self.entries.items()
        }
        write_atomically(self.path, json.dumps(content, indent=2) + "\n")
