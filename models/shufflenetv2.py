"""ShuffleNetV2 for small images: units that compute on half of the channels and shuffle both halves.

Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", 2018, table 5, 1x.
https://arxiv.org/abs/1807.11164
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helper.errors import UserError
from models.common import StagedNetwork, channel_shuffle, conv, depthwise

STEM = 24


class BasicUnit(nn.Module):
    """Half of the channels pass, half are computed; (N, C, H, W) keeps its shape, before the last ReLU.

    That ReLU may follow the shuffle: it leaves the passed half, a ReLU's output already, as it is.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.conv1 = conv(half, half, 1)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = depthwise(half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(half, half, 1)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        passed, out = x.chunk(2, dim=1)
        out = F.relu(self.bn1(self.conv1(out)), inplace=True)
        out = self.bn2(self.conv2(out))
        out = self.bn3(self.conv3(out))
        return channel_shuffle(torch.cat([passed, out], dim=1), 2)


class DownUnit(nn.Module):
    """Two branches of stride 2, each half of the output: (N, in, H, W) to (N, out, H/2, W/2).

    The map is given before the last ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        half = out_channels // 2
        self.conv1 = depthwise(in_channels, 2)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = conv(in_channels, half, 1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(in_channels, half, 1)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = depthwise(half, 2)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv(half, half, 1)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        right = F.relu(self.bn3(self.conv3(x)), inplace=True)
        right = self.bn5(self.conv5(self.bn4(self.conv4(right))))
        return channel_shuffle(torch.cat([left, right], dim=1), 2)


class ShuffleNetV2(StagedNetwork):
    """A 1x1 stem, three stages of a down unit and `units` basic units, and a 1x1 head of `head` channels.

    Weights start as torch draws them.
    """

    def __init__(
        self,
        num_classes: int = 100,
        *,
        widths: Sequence[int] = (116, 232, 464),
        units: Sequence[int] = (3, 7, 3),
        head: int = 1024,
    ):
        super().__init__()
        self.conv1 = conv(3, STEM, 1)
        self.bn1 = nn.BatchNorm2d(STEM)
        in_channels = STEM
        for number, (width, count) in enumerate(zip(widths, units, strict=True), start=1):
            stage = nn.Sequential(DownUnit(in_channels, width), *(BasicUnit(width) for _ in range(count)))
            self.add_module(f"layer{number}", stage)
            in_channels = width
        self.conv2 = conv(in_channels, head, 1)
        self.bn2 = nn.BatchNorm2d(head)
        self.linear = nn.Linear(head, num_classes)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def stages(self) -> Sequence[nn.Sequential]:
        return self.layer1, self.layer2, self.layer3

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        raise UserError(
            "ShuffleV2 has no batch norm behind a whole map of a stage, half of which passes the last unit: "
            "use another"
        )

    def last_map(self, before: Tensor, after: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(after)), inplace=True)

    def classify(self, embedding: Tensor) -> Tensor:
        return self.linear(embedding)
