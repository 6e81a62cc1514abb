"""A small network with all that its use depends on, as a file and ready for use."""

from pathlib import Path

import torch
from torch import nn

from exporting.deployed import Deployed, deployed
from helper.checkpoint import write_checkpoint
from models import build_bare
from models.checkpoint import read_network
from models.record import NetworkRecord

NAMES = ("cat", "dog", "owl")
MEAN, STD = (0.3, 0.5, 0.6), (0.2, 0.25, 0.3)


def settled(network: nn.Module, size: int = 32) -> nn.Module:
    """The network with statistics of batch norms that are not those of its first day."""
    random = torch.Generator().manual_seed(5)
    for _ in range(2):
        network.train()(torch.randn(8, 3, size, size, generator=random))
    return network.eval()


def write_network(path: Path, arch: str = "resnet8", size: int = 32, **changed: object) -> Path:
    """A checkpoint of an untrained network for three classes; entries of its record can be changed."""
    torch.manual_seed(3)
    network = settled(build_bare(arch, len(NAMES), size, bool(changed.get("small_stem"))), size)
    entries = {"arch": arch, "num_classes": len(NAMES), "image_size": size, "class_names": NAMES}
    record = NetworkRecord(**{**entries, "mean": MEAN, "std": STD, "dataset": "pets", **changed})
    write_checkpoint(record.content(network), path)
    return path


def ready(path: Path, arch: str = "resnet8", size: int = 32, **changed: object) -> Deployed:
    """The same, written and read."""
    return deployed(read_network(write_network(path, arch, size, **changed), arch))
