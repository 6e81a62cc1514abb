"""What is made of a picture for training: torchvision's transforms on uint8 pixels."""

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms import v2

from dataset.pictures import for_evaluation, middle
from helper.sizes import ImageSize, sides

PADDING_SHARE = 1 / 8  # 4 of 32 pixels, as the field has it for CIFAR


class ForEvaluation:
    """`dataset.pictures.for_evaluation` as a transform that workers can be sent."""

    def __init__(self, size: ImageSize, resize: int | None = None):
        self.size, self.resize = size, resize

    def __call__(self, pixels: Tensor) -> Tensor:
        """(3, h, w) uint8 to (3, H, W)."""
        return for_evaluation(pixels, self.size, self.resize)


class ForCache:
    """`dataset.pictures.middle` as a transform that workers can be sent."""

    def __init__(self, size: ImageSize, resize: int):
        self.size, self.resize = size, resize

    def __call__(self, pixels: Tensor) -> Tensor:
        """(3, h, w) uint8 to (3, H, W)."""
        return middle(pixels, self.size, self.resize)


def crop(size: ImageSize, flip: bool) -> Callable[[Tensor], Tensor]:
    """A crop of 8 to 100 % of the area, scaled to the size, mirrored half of the time: Inception's, and since
    then the field's for ImageNet.
    """
    return v2.Compose([v2.RandomResizedCrop(sides(size), antialias=True), *_mirroring(flip)])


def crop_pad(size: ImageSize, flip: bool) -> Callable[[Tensor], Tensor]:
    """The middle of the picture, black around it, and a crop of that: the field's for CIFAR."""
    height, width = sides(size)
    padding = [round(width * PADDING_SHARE), round(height * PADDING_SHARE)]
    scaled = ForEvaluation(size, min(height, width))
    return v2.Compose([scaled, v2.RandomCrop((height, width), padding=padding), *_mirroring(flip)])


def randaugment(size: ImageSize, flip: bool) -> Callable[[Tensor], Tensor]:
    """`crop`, then two operations of RandAugment at magnitude 9 (https://arxiv.org/abs/1909.13719)."""
    return v2.Compose([crop(size, flip), v2.RandAugment()])


def none(size: ImageSize, flip: bool) -> Callable[[Tensor], Tensor]:
    """The picture as evaluation sees it."""
    return ForEvaluation(size)


def _mirroring(flip: bool) -> list[v2.Transform]:
    return [v2.RandomHorizontalFlip()] if flip else []


augment_dict = {"crop": crop, "crop_pad": crop_pad, "randaugment": randaugment, "none": none}
