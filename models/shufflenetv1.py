"""ShuffleNet for small images: grouped 1x1 convolutions with a shuffle of the channels between them.

Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", 2018,
table 1, 3 groups. https://arxiv.org/abs/1707.01083
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.common import StagedNetwork, channel_shuffle, conv, depthwise

STEM = 24
GROUPS = 3


class Unit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1, and a shortcut, before the last ReLU.

    Of stride 1 it adds its input (N, C, H, W); of stride 2 it halves H and W and appends the channels of its
    average-pooled input.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, first_groups: int = GROUPS):
        super().__init__()
        self.stride = stride
        self.first_groups = first_groups
        computed = out_channels - in_channels if stride == 2 else out_channels
        bottleneck = computed // 4
        self.conv1 = conv(in_channels, bottleneck, 1, groups=first_groups)
        self.bn1 = nn.BatchNorm2d(bottleneck)
        self.conv2 = depthwise(bottleneck, stride)
        self.bn2 = nn.BatchNorm2d(bottleneck)
        self.conv3 = conv(bottleneck, computed, 1, groups=GROUPS)
        self.bn3 = nn.BatchNorm2d(computed)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.first_groups > 1:
            out = channel_shuffle(out, self.first_groups)
        # The published network has a ReLU here; the paper's figure 2 has none.
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        if self.stride == 2:
            return torch.cat([out, F.avg_pool2d(x, 3, stride=2, padding=1)], dim=1)
        out += x
        return out


class ShuffleNetV1(StagedNetwork):
    """A 1x1 stem and three stages of `units` units with `widths` channels.

    Weights start as torch draws them.
    """

    def __init__(
        self,
        num_classes: int = 100,
        *,
        widths: Sequence[int] = (240, 480, 960),
        units: Sequence[int] = (4, 8, 4),
    ):
        super().__init__()
        self.conv1 = conv(3, STEM, 1)
        self.bn1 = nn.BatchNorm2d(STEM)
        in_channels = STEM
        for number, (width, count) in enumerate(zip(widths, units, strict=True), start=1):
            first_groups = 1 if number == 1 else GROUPS
            stage = nn.Sequential(
                Unit(in_channels, width, 2, first_groups), *(Unit(width, width, 1) for _ in range(count - 1))
            )
            self.add_module(f"layer{number}", stage)
            in_channels = width
        self.linear = nn.Linear(in_channels, num_classes)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def stages(self) -> Sequence[nn.Sequential]:
        return self.layer1, self.layer2, self.layer3

    def classify(self, embedding: Tensor) -> Tensor:
        return self.linear(embedding)
