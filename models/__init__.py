"""The zoo of networks: `model_dict[name](num_classes=100)` builds one; a new one is a file and a line here.

Every network takes images (N, 3, H, W) of 32 x 32 or 64 x 64; see `models.common.StagedNetwork.forward`.
Importing this package imports no torch, so that a command knows the names at once.
"""

from typing import TYPE_CHECKING

from helper.errors import UserError
from helper.registry import Registry

if TYPE_CHECKING:
    from torch import nn

_FOUR_TIMES_AS_WIDE = (32, 64, 128, 256)
_RESNET, _WIDE_STEM = "resnet:ResNet", "resnet_wide_stem:WideStemResNet"
_WRN, _VGG = "wrn:WideResNet", "vgg:VGG"

# name: "module:Class", or that and what it is built with
model_dict = Registry(
    "models",
    {
        "resnet8": (_RESNET, {"depth": 8}),
        "resnet14": (_RESNET, {"depth": 14}),
        "resnet20": (_RESNET, {"depth": 20}),
        "resnet32": (_RESNET, {"depth": 32}),
        "resnet44": (_RESNET, {"depth": 44}),
        "resnet56": (_RESNET, {"depth": 56}),
        "resnet110": (_RESNET, {"depth": 110}),
        "resnet8x4": (_RESNET, {"depth": 8, "widths": _FOUR_TIMES_AS_WIDE}),
        "resnet32x4": (_RESNET, {"depth": 32, "widths": _FOUR_TIMES_AS_WIDE}),
        "ResNet18": (_WIDE_STEM, {"block": "basic", "blocks": (2, 2, 2, 2)}),
        "ResNet34": (_WIDE_STEM, {"block": "basic", "blocks": (3, 4, 6, 3)}),
        "ResNet50": (_WIDE_STEM, {"block": "bottleneck", "blocks": (3, 4, 6, 3)}),
        "wrn_16_1": (_WRN, {"depth": 16, "widening": 1}),
        "wrn_16_2": (_WRN, {"depth": 16, "widening": 2}),
        "wrn_40_1": (_WRN, {"depth": 40, "widening": 1}),
        "wrn_40_2": (_WRN, {"depth": 40, "widening": 2}),
        "vgg8": (_VGG, {"convolutions": (1, 1, 1, 1, 1)}),
        "vgg11": (_VGG, {"convolutions": (1, 1, 2, 2, 2)}),
        "vgg13": (_VGG, {"convolutions": (2, 2, 2, 2, 2)}),
        "vgg16": (_VGG, {"convolutions": (2, 2, 3, 3, 3)}),
        "vgg19": (_VGG, {"convolutions": (2, 2, 4, 4, 4)}),
        "MobileNetV2": "mobilenetv2:MobileNetV2",
        "ShuffleV1": "shufflenetv1:ShuffleNetV1",
        "ShuffleV2": "shufflenetv2:ShuffleNetV2",
    },
)


# networks made of a student and a teacher, called '<prefix>/<student>/<teacher>': prefix: "module:Class"
composed_dict = Registry("models", {"reused": "reused:ReusedClassifier", "norm": "many_to_one:NORMNetwork"})


def is_network(name: str) -> bool:
    """Whether `build_network` knows the name."""
    prefix, *pair = name.split("/")
    return name in model_dict or (
        prefix in composed_dict and len(pair) == 2 and all(one in model_dict for one in pair)
    )


def check_model(flag: str, name: str) -> None:
    """Raise UserError, which lists the networks, if there is none of that name."""
    if not is_network(name):
        raise UserError(f"{flag} {name} is unknown; the networks are {', '.join(model_dict)}")


def build_network(name: str, num_classes: int = 100) -> "nn.Module":
    """The network of that name for so many classes; UserError lists the names if there is none.

    name: of `model_dict`, or of a network made of two of these, such as 'reused/resnet8x4/resnet32x4'.
    """
    if not is_network(name):
        raise UserError(f"unknown network {name!r}; the networks are {', '.join(model_dict)}")
    if name in model_dict:
        return model_dict[name](num_classes=num_classes)
    prefix, student, teacher = name.split("/")
    networks = (model_dict[one](num_classes=num_classes) for one in (student, teacher))
    return composed_dict[prefix].of(*networks, num_classes)
