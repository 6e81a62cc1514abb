"""A linear layer over all the students' logits."""

import argparse

import torch
from torch import Tensor, nn

from modreduce.fused import FusedEnsemble
from modreduce.student import Student


class FullyConnected(FusedEnsemble):
    """g = linear(concatenated logits), N*C -> C (ModReduce's FC).

    A student's weight, for the plots, is the Frobenius norm of its block of the matrix as a share of all
    blocks'.
    """

    name = "fc"

    def __init__(self, students: list[Student], num_classes: int, args: argparse.Namespace):
        super().__init__(students, num_classes, args)
        self.FC = nn.Linear(len(students) * num_classes, num_classes)

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        fused = self.FC(torch.cat(list(logits), dim=1))
        norms = torch.stack([block.norm() for block in self.FC.weight.chunk(self.count, dim=1)])
        return fused, norms / norms.sum()
