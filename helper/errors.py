"""How the commands speak to a user who asked for something that cannot be."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn


class UserError(Exception):
    """One line for the user: what is wrong, what was found, what is allowed, what to do next."""


class Shared(UserError):
    """What all ranks of a run that is spread over processes find at once, and the first one tells."""


class Diverged(Shared):
    """A loss is not finite any more; the last good checkpoint stands."""


class Interrupted(Exception):
    """The user or the system asked the run to stop; its state is saved. The line says how to go on."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT):
        super().__init__(message)
        self.signal_number = signal_number


def one_line(error: BaseException | str) -> str:
    """The text of an error without its line breaks."""
    return " ".join(str(error).split())


def run_script(main: Callable[[], None], several_ranks: bool = False) -> None:
    """Run a command: bad input ends with one line on standard error and exit status 2, a stop
    with 128 + signal.

    What the terminal's encoding cannot say is written as an escape. several_ranks: whether torchrun may start
    the command more than once; the first rank alone then speaks of what all know.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    first = not _in_ranks() or os.environ.get("RANK", "0") == "0"
    if not first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
        warnings.simplefilter("ignore")
    try:
        if _in_ranks() and not several_ranks:
            raise Shared(
                f"{Path(sys.argv[0]).name} runs in one process: start it without torchrun (WORLD_SIZE is "
                f"{os.environ['WORLD_SIZE']}); train_modreduce.py can spread its students"
            )
        main()
    except UserError as error:
        _fail(one_line(error), first, isinstance(error, Shared), several_ranks)
    except Interrupted as stop:
        if first:
            print(one_line(stop), file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        if first:
            print(
                "interrupted; what was saved before is whole: a training run goes on with --resume",
                file=sys.stderr,
            )
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{one_line(error.strerror or error)}", first, False, several_ranks)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        line = (
            f"the memory is full ({one_line(error)[:200]}); what was saved before is whole: "
            "use a smaller --batch_size or --feat_dim, or fewer students"
        )
        _fail(line, first, False, several_ranks)


def _in_ranks() -> bool:
    """Whether a launcher such as torchrun started this command more than once."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "1")


def _fail(line: str, first: bool, shared: bool, several_ranks: bool) -> NoReturn:
    """Print an error's line and exit with status 2; of several ranks' equal ones, the first's alone."""
    if first:
        print(f"error: {line}", file=sys.stderr, flush=True)
    if several_ranks and _in_ranks() and not shared:
        from helper.distributed import tell_others  # with torch, which a wrong word should not wait for

        if not tell_others(line) and not first:
            print(f"error: rank {os.environ['RANK']}: {line}", file=sys.stderr)
    sys.exit(2)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or torch means that the memory of the machine or of the GPU is full."""
    said = str(error)
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


@contextmanager
def told_in_a_line(what: str, advice: str = "") -> Iterator[None]:
    """Turn what other people's code raises in here into a UserError, "what: kind: text; advice".

    UserErrors, and a memory that is full, pass as they are.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of anybody's code
        if is_out_of_memory(error):
            raise
        more = f"; {advice}" if advice else ""
        raise UserError(f"{what}: {type(error).__name__}: {one_line(error)[:200]}{more}") from error
