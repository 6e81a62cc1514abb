"""The weighted average of ModReduce: one learned number per student."""

import argparse

import torch
from torch import Tensor, nn

from modreduce.fused import FusedEnsemble
from modreduce.student import Student


class WeightedAverage(FusedEnsemble):
    """g = sum_k w_k z_k with w = softmax(theta), theta learned (ModReduce's own method).

    theta starts at zero, an equal weight for each student. The published code overwrites its parameter with
    its own softmax at every step, which drags the weights to 1/N; here the gradient goes through the softmax.
    """

    name = "wavg"

    def __init__(self, students: list[Student], num_classes: int, args: argparse.Namespace):
        super().__init__(students, num_classes, args)
        self.theta = nn.Parameter(torch.zeros(len(students)))

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(self.theta, dim=0)
        return torch.einsum("n,nbc->bc", weights, logits), weights
