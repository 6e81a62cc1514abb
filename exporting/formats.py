"""What a format of exported networks is."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from exporting.deployed import Deployed

Logits = Callable[[Tensor], Tensor]


class Format:
    """A way to keep a network in a file of a folder.

    file: its name; packages: what has to be installed for it; runtime: by what it is run where that is not
    PyTorch as before, and so is timed apart.
    """

    file: str
    packages: Sequence[str] = ()
    runtime: str | None = None

    def write(self, network: Deployed, folder: Path) -> None:
        """Write the network's file, and what belongs beside it, into the folder.

        Raises UserError if that cannot be.
        """
        raise NotImplementedError

    def read(self, network: Deployed, folder: Path, threads: int | None = None) -> Logits:
        """What the written file says of images (N, 3, H, W), white 1: their logits (N, classes), on the CPU.

        network: what was written, of which only names and sizes are used; threads: for runtimes that have
        threads of their own.
        """
        raise NotImplementedError


@contextmanager
def quiet() -> Iterator[None]:
    """Without the remarks of libraries about themselves, which say nothing about the network."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
