"""Residual networks for CIFAR: three stages of basic blocks, 6n + 2 layers.

He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2. https://arxiv.org/abs/1512.03385
The variants of four times the width (resnet8x4, resnet32x4) come from the knowledge distillation benchmarks.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from models.common import StagedNetwork, conv, initialise_convolutions, projection


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, in, H, W) to (N, out, H/stride, W/stride).

    The map is given before the last ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return out


class ResNet(StagedNetwork):
    """A residual network of `depth` layers; `widths` are the channels of the stem and of the three stages.

    Raises ValueError for a depth that is not 6n + 2.
    """

    def __init__(self, num_classes: int = 100, *, depth: int, widths: Sequence[int] = (16, 16, 32, 64)):
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if blocks < 1 or rest:
            raise ValueError(f"depth of a CIFAR ResNet is {depth}; it must be 6n + 2, such as 8, 20 or 56")
        stem, first, second, third = widths
        self.conv1 = conv(3, stem, 3)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, first, 1, blocks)
        self.layer2 = _stage(first, second, 2, blocks)
        self.layer3 = _stage(second, third, 2, blocks)
        self.fc = nn.Linear(third, num_classes)
        initialise_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def stages(self) -> Sequence[nn.Sequential]:
        return self.layer1, self.layer2, self.layer3

    def classify(self, embedding: Tensor) -> Tensor:
        return self.fc(embedding)


def _stage(in_channels: int, out_channels: int, stride: int, blocks: int) -> nn.Sequential:
    """Blocks of one width; the first changes the shape."""
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride),
        *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)),
    )
