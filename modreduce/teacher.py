"""The frozen network that teaches."""

import argparse

import torch
from torch import Tensor, nn

from helper.batch import Output
from helper.checkpoint import digest
from models.checkpoint import check_model, load_network


class Teacher:
    """A frozen network that gives its Output once per step, for all students.

    It is no module on purpose: its weights are not part of what a run trains and saves.
    """

    def __init__(self, network: nn.Module, name: str):
        self.network = network.eval().requires_grad_(False)
        self.name = name

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Output:
        """Output for images (B, 3, H, W)."""
        return Output(*self.network(images, is_feat=True))


def load_teacher(args: argparse.Namespace, num_classes: int) -> tuple[Teacher, str]:
    """The frozen network of --path_t, and the SHA-256 of its weights."""
    if args.model_t is not None:
        check_model("--model_t", args.model_t)
    network, name, content = load_network(args.path_t, num_classes, args.model_t)
    return Teacher(network, name), digest(content["model"])
