"""ResNet18, 34 and 50 for small images: ImageNet's four stages behind a 3x3 stem without pooling.

He et al., "Deep Residual Learning for Image Recognition", 2016, table 1. https://arxiv.org/abs/1512.03385
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from models.common import StagedNetwork, conv, initialise_convolutions, projection

STEM = 64
STAGE_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, in, H, W) to (N, width, H/stride, W/stride).

    The map is given before the last ReLU.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = conv(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = projection(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: (N, in, H, W) to (N, 4 width, H/stride, W/stride).

    The map is given before the last ReLU.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int):
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        out += self.shortcut(x)
        return out


class WideStemResNet(StagedNetwork):
    """A residual network of four stages; `blocks` says how many blocks each has.

    block: 'basic', 'bottleneck', or a class like these two.
    """

    def __init__(self, num_classes: int = 100, *, block: str | type[nn.Module], blocks: Sequence[int]):
        super().__init__()
        kind = {"basic": BasicBlock, "bottleneck": Bottleneck}.get(block, block)
        self.conv1 = conv(3, STEM, 3)
        self.bn1 = nn.BatchNorm2d(STEM)
        in_channels = STEM
        for number, (width, count) in enumerate(zip(STAGE_WIDTHS, blocks, strict=True), start=1):
            stage = nn.Sequential()
            for position in range(count):
                stage.append(kind(in_channels, width, stride=2 if number > 1 and position == 0 else 1))
                in_channels = width * kind.expansion
            self.add_module(f"layer{number}", stage)
        self.linear = nn.Linear(in_channels, num_classes)
        initialise_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def stages(self) -> Sequence[nn.Sequential]:
        return self.layer1, self.layer2, self.layer3, self.layer4

    def classify(self, embedding: Tensor) -> Tensor:
        return self.linear(embedding)
