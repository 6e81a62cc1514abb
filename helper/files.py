"""Files that are either the old one or the new one, never half of each."""

import contextlib
import errno
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helper.errors import UserError, one_line


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name, flush it to the disk, then give it its name.

    Raises UserError when the folder cannot be written or the disk is full; the file that stood there before
    is then still whole, and no temporary file stays behind.
    """
    if isinstance(content, str):
        content = content.encode()
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        flush_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {one_line(error.strerror or error)}; what stood there before is whole: "
            "free the disk or mend the permissions, then repeat the command (a training run: with --resume)"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def keep_as(path: Path, other: Path) -> None:
    """Make the file known under another name too, replacing what had that name; no copy where links exist.

    Raises UserError when the folder cannot be written or the disk is full.
    """
    if not path.exists():
        return
    temporary = other.with_name(f".{other.name}.{os.getpid()}.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(path, temporary)
    except OSError:
        write_atomically(other, path.read_bytes())
        return
    try:
        os.replace(temporary, other)
    except OSError as error:
        raise UserError(f"cannot write {other}: {one_line(error.strerror or error)}") from error
    finally:
        # renaming one link of a file to another link of the same file leaves both
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path, flag: str) -> None:
    """Raise UserError if the folder is not there and cannot be made, or is no folder; nothing is written.

    flag: the setting that named it.
    """
    try:
        existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        usable = existing.is_dir()
        folder.exists()
    except OSError as error:
        raise UserError(
            f"{flag}: {one_line(str(folder))[:200]} cannot be a folder ({error.strerror})"
        ) from error
    if not usable:
        raise UserError(f"{flag}: {existing} is a file, not a folder: choose another place")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{flag}: {existing} cannot be written: mend its permissions or choose another place")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a write that was killed; only for the holder of the folder's lock."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def flush_folder(folder: Path) -> None:
    """Make a rename in the folder survive a loss of power, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(folder: Path, name: str, busy: str) -> Iterator[None]:
    """Make the folder if need be and hold it by a lock file in it, which ends with its process.

    name: of the lock file; busy: what is said when another process holds it. Raises UserError then, and when
    the folder cannot be written. A file system without locks is used without one, with a warning.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / name, "a")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; give another --save_folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(busy) from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            print(
                f"warning: no lock in {folder} ({error.strerror}): let no other process write there",
                file=sys.stderr,
            )
        yield
