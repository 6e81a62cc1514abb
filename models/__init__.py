"""The zoo of networks: `model_dict[name](num_classes=100)` builds one; a new one is a file and a line here.

Every network takes images (N, 3, H, W) of 32 x 32 or 64 x 64; see `models.common.StagedNetwork.forward`.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from helper.errors import UserError
from models.mobilenetv2 import MobileNetV2
from models.resnet import ResNet
from models.resnet_wide_stem import BasicBlock, Bottleneck, WideStemResNet
from models.reused import PREFIX, ReusedClassifier
from models.shufflenetv1 import ShuffleNetV1
from models.shufflenetv2 import ShuffleNetV2
from models.vgg import VGG
from models.wrn import WideResNet

__all__ = ["build_network", "model_dict"]

_FOUR_TIMES_AS_WIDE = (32, 64, 128, 256)

model_dict: dict[str, Callable[..., nn.Module]] = {
    "resnet8": partial(ResNet, depth=8),
    "resnet14": partial(ResNet, depth=14),
    "resnet20": partial(ResNet, depth=20),
    "resnet32": partial(ResNet, depth=32),
    "resnet44": partial(ResNet, depth=44),
    "resnet56": partial(ResNet, depth=56),
    "resnet110": partial(ResNet, depth=110),
    "resnet8x4": partial(ResNet, depth=8, widths=_FOUR_TIMES_AS_WIDE),
    "resnet32x4": partial(ResNet, depth=32, widths=_FOUR_TIMES_AS_WIDE),
    "ResNet18": partial(WideStemResNet, block=BasicBlock, blocks=(2, 2, 2, 2)),
    "ResNet34": partial(WideStemResNet, block=BasicBlock, blocks=(3, 4, 6, 3)),
    "ResNet50": partial(WideStemResNet, block=Bottleneck, blocks=(3, 4, 6, 3)),
    "wrn_16_1": partial(WideResNet, depth=16, widening=1),
    "wrn_16_2": partial(WideResNet, depth=16, widening=2),
    "wrn_40_1": partial(WideResNet, depth=40, widening=1),
    "wrn_40_2": partial(WideResNet, depth=40, widening=2),
    "vgg8": partial(VGG, convolutions=(1, 1, 1, 1, 1)),
    "vgg11": partial(VGG, convolutions=(1, 1, 2, 2, 2)),
    "vgg13": partial(VGG, convolutions=(2, 2, 2, 2, 2)),
    "vgg16": partial(VGG, convolutions=(2, 2, 3, 3, 3)),
    "vgg19": partial(VGG, convolutions=(2, 2, 4, 4, 4)),
    "MobileNetV2": MobileNetV2,
    "ShuffleV1": ShuffleNetV1,
    "ShuffleV2": ShuffleNetV2,
}


def build_network(name: str, num_classes: int = 100) -> nn.Module:
    """The network of this name, or of 'reused/<student>/<teacher>', with weights as it draws them.

    Raises UserError for an unknown name.
    """
    prefix, *pair = name.split("/")
    names = pair if prefix == PREFIX and len(pair) == 2 else [name]
    if unknown := [one for one in names if one not in model_dict]:
        raise UserError(
            f"unknown network {unknown[0]!r}: the networks are {', '.join(model_dict)} "
            f"and {PREFIX}/<student>/<teacher> of two of them"
        )
    networks = [model_dict[one](num_classes=num_classes) for one in names]
    return networks[0] if len(networks) == 1 else ReusedClassifier.of(*networks, num_classes)
