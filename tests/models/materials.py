"""Networks and images that the tests of this folder share."""

import json
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import model_dict
from models.resnet_wide_stem import Bottleneck, WideStemResNet
from tests.golden.formula import tensor

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "models.json").read_text())
WITH_OUTPUTS = [name for name, golden in GOLDEN.items() if "logits" in golden]
# Every family once; of the wide stem both kinds of block. vgg11 has a ReLU inside its blocks, vgg8 none.
SMALL = ("resnet8", "ResNet18", "wrn_16_1", "vgg11", "MobileNetV2", "ShuffleV1", "ShuffleV2")
BUILD = {**model_dict, "ResNet14": partial(WideStemResNet, block=Bottleneck, blocks=(1, 1, 1, 1))}

every_network = pytest.mark.parametrize("name", model_dict)
small_networks = pytest.mark.parametrize("name", [*SMALL, "ResNet14"])
published_networks = pytest.mark.parametrize("name", GOLDEN)


@cache
def untouched(name: str) -> nn.Module:
    """The network in eval mode, built once: for tests of keys and shapes, which leave it as it is."""
    return model_dict[name]().eval()


def used_to_its_input(name: str, **settings) -> nn.Module:
    """The network in eval mode, with BN statistics of the images, so that no depth lets values run away."""
    network = BUILD[name](**settings)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images(8))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def images(count: int = 2, size: int = 32) -> Tensor:
    return tensor("input", (count, 3, size, size))
