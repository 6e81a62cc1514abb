"""Wide residual networks of 6n + 4 layers: normalisation and ReLU come before each convolution.

Zagoruyko and Komodakis, "Wide Residual Networks", 2016. https://arxiv.org/abs/1605.07146
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from models.common import StagedNetwork, conv, initialise_convolutions

STEM = 16


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, in, H, W) to (N, out, H/stride, W/stride), a plain sum.

    `activated` is x after the block's own `bn1` and a ReLU. Who calls the block applies them, since that BN's
    output is also the previous stage's map for `preact`, and running it twice would count the batch twice.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, out_channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3)
        same_shape = in_channels == out_channels
        self.convShortcut = None if same_shape else conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        out = F.relu(self.bn2(self.conv1(activated)), inplace=True)
        out = self.conv2(out)
        out += x if self.convShortcut is None else self.convShortcut(activated)
        return out


class Stage(nn.Module):
    """Blocks of one width; the first changes the shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, blocks: int):
        super().__init__()
        self.layer = nn.Sequential(
            Block(in_channels, out_channels, stride),
            *(Block(out_channels, out_channels, 1) for _ in range(blocks - 1)),
        )

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The BN through which the stage sees its input."""
        return self.layer[0].bn1

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        first, *others = self.layer
        x = first(x, activated)
        for block in others:
            x = block(x, F.relu(block.bn1(x), inplace=True))
        return x


class WideResNet(StagedNetwork):
    """A wide residual network of `depth` layers, stages of 16, 32 and 64 times `widening` channels.

    Raises ValueError for a depth that is not 6n + 4.
    """

    def __init__(self, num_classes: int = 100, *, depth: int, widening: int):
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if blocks < 1 or rest:
            raise ValueError(f"depth of a wide ResNet is {depth}; it must be 6n + 4, such as 16 or 40")
        first, second, third = (channels * widening for channels in (16, 32, 64))
        self.conv1 = conv(3, STEM, 3)
        self.block1 = Stage(STEM, first, 1, blocks)
        self.block2 = Stage(first, second, 2, blocks)
        self.block3 = Stage(second, third, 2, blocks)
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, num_classes)
        initialise_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """The next BN after each stage: the stage's own map is the sum in front of it."""
        return [self.block2.norm, self.block3.norm, self.bn1]

    def stem(self, x: Tensor) -> Tensor:
        return self.conv1(x)

    def through_stages(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The maps are the blocks' sums; before the ReLU means after the next BN."""
        normalised = self.block1.norm(x)
        for stage, next_norm in (
            (self.block1, self.block2.norm),
            (self.block2, self.block3.norm),
            (self.block3, self.bn1),
        ):
            x = stage(x, F.relu(normalised))
            normalised = next_norm(x)
            yield normalised, x

    def last_map(self, before: Tensor, after: Tensor) -> Tensor:
        return F.relu(before)

    def classify(self, embedding: Tensor) -> Tensor:
        return self.fc(embedding)
