"""Files that are either the old one or the new one, never half of each."""

import contextlib
import os
import tempfile
from pathlib import Path

from helper.errors import UserError, one_line


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name, flush it to the disk, then give it its name.

    Raises UserError when the folder cannot be written or the disk is full; the file that stood there before is then
    still whole, and no temporary file stays behind.
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
            "free the disk or mend the permissions, then run the same command with --resume"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def keep_as(path: Path, other: Path) -> None:
    """Make the file known under another name too, replacing what had that name; nothing is copied if links exist."""
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
    os.replace(temporary, other)


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
