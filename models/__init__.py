"""The zoo of networks: `model_dict[name](num_classes=100)` builds one; a new one is a file and a line here.

Every network takes images (N, 3, H, W) of any height and width; they were published for 32 x 32, and their
strides are for small images: at 224 x 224 maps are large, and so is what a step costs. See
`models.common.StagedNetwork.forward`.
Networks of other code have names with a colon (`models.sources`) and are served by hooks (`models.tapped`).
Importing this package imports no torch, so that a command knows the names at once.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helper.errors import UserError
from helper.registry import Registry
from helper.sizes import ImageSize
from models.sources import build_foreign, check_foreign, is_foreign

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

OTHER_NAMES = "timm:NAME, torchvision:NAME, FILE.py:FUNCTION"

# networks made of a student and a teacher, called '<prefix>/<student>/<teacher>': prefix: "module:Class"
composed_dict = Registry("models", {"reused": "reused:ReusedClassifier", "norm": "many_to_one:NORMNetwork"})


def is_network(name: str) -> bool:
    """Whether the name has the form of one that `build_network` knows."""
    prefix, *pair = name.split("/")
    return (
        name in model_dict
        or is_foreign(name)
        or (prefix in composed_dict and len(pair) == 2 and all(one in model_dict for one in pair))
    )


def known_networks() -> str:
    """The names that a network can have, for the line that refuses another."""
    return f"{', '.join(model_dict)}, and {OTHER_NAMES}"


def check_model(flag: str, name: str) -> None:
    """Raise UserError, which lists the networks or the nearest, if there is none of that name."""
    if not is_network(name):
        raise UserError(f"{flag} {name} is unknown; the networks are {known_networks()}")
    if is_foreign(name):
        check_foreign(flag, name)


def composed_name(prefix: str, student: str, teacher: str) -> str:
    """The name of a network made of these two; UserError where it could not be built by that name again."""
    for name in (student, teacher):
        if is_foreign(name):
            raise UserError(
                "this method trains one network made of the student's and the teacher's, which have to be of "
                f"models/, and {name} is not: choose another pair or method"
            )
    return f"{prefix}/{student}/{teacher}"


def build_network(
    name: str,
    num_classes: int = 100,
    image_size: ImageSize = 32,
    taps: Sequence[str] | None = None,
    small_stem: bool = False,
) -> "nn.Module":
    """The network of that name for so many classes; UserError lists the names if there is none.

    name: of `model_dict`, of a network made of two of these, such as 'reused/resnet8x4/resnet32x4', or of
    other code. Networks of other code are built for images of that size; taps: the modules that give their
    maps, None to have them chosen; small_stem: as `models.sources.shrink_stem` has it.
    """
    network = build_bare(name, num_classes, image_size, small_stem)
    if not is_foreign(name):
        return network
    from models.tapped import tapped

    return tapped(network, name, image_size, taps)


def build_bare(
    name: str, num_classes: int = 100, image_size: ImageSize = 32, small_stem: bool = False
) -> "nn.Module":
    """The same as its own code makes it: of other code a network without taps."""
    if not is_network(name):
        raise UserError(f"unknown network {name!r}; the networks are {known_networks()}")
    if is_foreign(name):
        return build_foreign(name, num_classes, image_size, small_stem)
    if name in model_dict:
        return model_dict[name](num_classes=num_classes)
    prefix, student, teacher = name.split("/")
    networks = (model_dict[one](num_classes=num_classes) for one in (student, teacher))
    return composed_dict[prefix].of(*networks, num_classes)
