"""What a method is to the rest of the project."""

import argparse
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from helper.batch import Batch, Output


@dataclass(frozen=True)
class Example:
    """What a method sees once before training, to size its layers.

    student, teacher: Outputs of a few images; labels: (n_data,) int64, those of the training set; batch_size:
    of every step to come; seed: for what the method initialises and draws.
    """

    student: Output
    teacher: Output
    labels: Tensor
    batch_size: int
    num_classes: int
    seed: int


class Distiller(nn.Module):
    """One kind of knowledge: a loss between a student's and a teacher's Output, with the layers that it
    trains.

    A method is one subclass in one file and one line in `distiller_dict`. It is built from an Example and the
    flags, and raises UserError if they do not fit. Its parameters are trained with the student, its buffers
    are saved with it.

    weight: default of -b/--beta; multiplier: ModReduce's factor of the whole offline loss of such a student;
    fixed_batch: whether every batch must have the size of the first.
    """

    weight: float = 1.0
    multiplier: float = 1.0
    fixed_batch: bool = False

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        """Add the method's own flags."""

    def __init__(self, example: Example, args: argparse.Namespace):
        super().__init__()

    def begin_epoch(self, seed: int) -> None:
        """Reseed what is drawn during an epoch."""

    def generators(self) -> list[torch.Generator]:
        """The random streams that the method draws from, for a CUDA graph to know of."""
        return []

    def random_state(self) -> Tensor | None:
        """Where the method's random stream stands, for a resume in the middle of an epoch."""
        return None

    def set_random_state(self, state: Tensor) -> None:
        """Restore what `random_state` gave."""

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """The unweighted loss: a scalar in float32, whatever precision the networks run in."""
        raise NotImplementedError
