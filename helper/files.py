"""Files that are either the old one or the new one, never half of each."""

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from helper.errors import UserError, one_line

# what a file system says that has no locks: some network file systems and those of containers
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def folder_name(name: str) -> str:
    """A name, such as that of a network of other code, as a folder can have it."""
    return name.replace("/", "-").replace(":", "-")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to be written beside the path under a temporary name, which gets its name once all of it is on
    the disk; after an error nothing of it stays behind. Raises OSError where it cannot be written.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        flush_folder(path.parent)
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name, flush it to the disk, then give it its name.

    Raises UserError when the folder cannot be written or the disk is full; the file that stood there before
    is then still whole, and no temporary file stays behind.
    """
    if isinstance(content, str):
        content = content.encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {one_line(error.strerror or error)}; what stood there before is whole: "
            "free the disk or mend the permissions, then repeat the command (a training run: with --resume)"
        ) from error


def hard_link(path: Path, other: Path) -> None:
    """Give the file another name too, replacing what had that name; a copy where there are no links.

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


def lock(path: Path) -> IO[str]:
    """Open a file and hold a lock on it until it is closed, or until the process ends in any way.

    Raises BlockingIOError if another process holds it, OSError if the file cannot be opened. Where the system
    or the file system knows no locks a warning says so, and nothing is locked.
    """
    file = open(path, "a")  # noqa: SIM115 (the caller closes it)
    try:
        _lock(file)
    except BlockingIOError:
        file.close()
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            file.close()
            raise
        print(
            f"warning: {path.parent} cannot be locked ({one_line(error.strerror or error)}): "
            "see to it that no other process writes there",
            file=sys.stderr,
        )
    return file


def _lock(file: IO[str]) -> None:
    """Lock an open file at once or raise BlockingIOError, with what the system has."""
    try:
        import fcntl
    except ImportError:
        _lock_on_windows(file)
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_on_windows(file: IO[str]) -> None:
    try:
        import msvcrt
    except ImportError:
        raise OSError(errno.ENOSYS, "this system knows no locks") from None
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError(*error.args) from None


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


def check_new_folder(folder: Path, flag: str) -> None:
    """Raise UserError if the folder can be neither made nor filled, or holds anything already; nothing is
    written.
    """
    check_folder(folder, flag)
    if folder.exists() and (inside := next(folder.iterdir(), None)):
        raise UserError(
            f"{flag}: {folder} is not empty ({inside.name} is in it): name a new folder, or empty that one"
        )


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A place in which a folder's files are made: they stand in the folder once all of them are there.

    If anything is raised within, nothing stays behind. An empty folder that is there already, a mounted one
    for example, gets the files one after the other.
    """
    there = folder.exists()
    above = folder if there else folder.absolute().parent
    made = [place for place in (above, *above.parents) if not place.exists()]
    above.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.absolute().name}.", suffix=".tmp", dir=above))
    try:
        yield place
        if there:
            for file in sorted(place.iterdir()):
                os.replace(file, folder / file.name)
            place.rmdir()
        else:
            place.chmod(0o755)
            os.replace(place, folder)
        flush_folder(above)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()
        raise


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
    the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = lock(folder / name)
    except BlockingIOError:
        raise UserError(busy) from None
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; give another --save_folder") from error
    with held:
        yield
