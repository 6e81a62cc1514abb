"""VGG networks with batch normalisation for small images: one linear layer behind a global average.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, table 1.
https://arxiv.org/abs/1409.1556
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from models.common import StagedNetwork, initialise_classifier, initialise_convolutions

BLOCK_WIDTHS = (64, 128, 256, 512, 512)


class VGG(StagedNetwork):
    """Five blocks of 3x3 convolutions; `convolutions` says how many each block has."""

    def __init__(self, num_classes: int = 100, *, convolutions: Sequence[int]):
        super().__init__()
        in_channels = 3
        for number, (width, count) in enumerate(zip(BLOCK_WIDTHS, convolutions, strict=True)):
            self.add_module(f"block{number}", _block(in_channels, width, count))
            in_channels = width
        self.classifier = nn.Linear(in_channels, num_classes)
        initialise_convolutions(self)
        initialise_classifier(self.classifier)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.block0(x), inplace=True)

    def stages(self) -> Sequence[nn.Sequential]:
        return self.block1, self.block2, self.block3, self.block4

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        return [[m for m in stage if isinstance(m, nn.BatchNorm2d)][-1] for stage in self.stages()]

    def through_stage(self, stage: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
        """A max-pooling and a block: its map before and after its last ReLU.

        A map of at most 4 places along a side isn't pooled any more: for 32 x 32 images the last block works
        on 4 x 4 places, as it does for 64 x 64.
        """
        if min(x.shape[2:]) > 4:
            x = F.max_pool2d(x, 2)
        before = stage(x)
        return before, F.relu(before)

    def classify(self, embedding: Tensor) -> Tensor:
        return self.classifier(embedding)


def _block(in_channels: int, width: int, convolutions: int) -> nn.Sequential:
    """Convolutions, each with BN and, but for the last, ReLU; (N, in, H, W) to (N, width, H, W)."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [
            nn.Conv2d(in_channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        in_channels = width
    return nn.Sequential(*layers[:-1])
