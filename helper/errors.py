"""How the commands speak to a user who asked for something that cannot be."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """One line for the user: what is wrong, what was found, what is allowed, what to do next."""


class Diverged(UserError):
    """A loss is not finite any more; the last good checkpoint stands."""


class Interrupted(Exception):
    """The user or the system asked the run to stop; its state is saved. The line says how to go on."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT):
        super().__init__(message)
        self.signal_number = signal_number


def one_line(error: BaseException | str) -> str:
    """The text of an error without its line breaks."""
    return " ".join(str(error).split())


def run_script(main: Callable[[], None]) -> None:
    """Run a command: bad input ends with one line on standard error and exit status 2, a stop
    with 128 + signal.

    What the terminal's encoding cannot say is written as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stop:
        print(one_line(stop), file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
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
        print(f"error: {where}{one_line(error.strerror or error)}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(
            f"error: the memory is full ({one_line(error)[:200]}); what was saved before is whole: "
            "use a smaller --batch_size or --feat_dim, or fewer students",
            file=sys.stderr,
        )
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
