"""MobileNetV2 for small images: inverted residual blocks with linear bottlenecks.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2. https://arxiv.org/abs/1801.04381
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from models.common import StagedNetwork, conv, depthwise, initialise_classifier, initialise_convolutions

STEM = 32
HEAD = 1280


class Bottlenecks(NamedTuple):
    """A row of the paper's table 2: a run of blocks with the same number of channels."""

    expansion: int
    channels: int
    blocks: int
    stride: int


# The strides of the second and of the last row are smaller than the paper's, for small images.
ROWS = (
    Bottlenecks(1, 16, 1, 1),
    Bottlenecks(6, 24, 2, 1),
    Bottlenecks(6, 32, 3, 2),
    Bottlenecks(6, 64, 4, 2),
    Bottlenecks(6, 96, 3, 1),
    Bottlenecks(6, 160, 3, 2),
    Bottlenecks(6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project without ReLU: (N, in, H, W) to (N, out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int):
        super().__init__()
        hidden = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            conv(in_channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            depthwise(hidden, stride),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            conv(hidden, out_channels, 1),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if self.has_shortcut:
            out += x
        return out


class NumberedLinear(nn.Linear):
    """A linear layer whose weights are called 0.weight and 0.bias in files: in the published network it is
    the only layer of a sequence.
    """

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, f"{prefix}0.", keep_vars)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, f"{prefix}0.", *rest)


class MobileNetV2(StagedNetwork):
    """MobileNetV2 with `width` times the paper's channels, but for the head's, which stay 1280.

    A stage's map has no ReLU, so that `preact` makes no difference.
    """

    def __init__(self, num_classes: int = 100, *, width: float = 0.5):
        super().__init__()
        in_channels = int(STEM * width)
        self.conv1 = _conv_norm_relu(3, in_channels, 3, stride=2)
        self.blocks = nn.ModuleList()
        for row in ROWS:
            out_channels = int(row.channels * width)
            blocks = nn.Sequential()
            for position in range(row.blocks):
                stride = row.stride if position == 0 else 1
                blocks.append(InvertedResidual(in_channels, out_channels, stride, row.expansion))
                in_channels = out_channels
            self.blocks.append(blocks)
        self.conv2 = _conv_norm_relu(in_channels, HEAD, 1)
        self.classifier = NumberedLinear(HEAD, num_classes)
        initialise_convolutions(self)
        initialise_classifier(self.classifier)

    def stem(self, x: Tensor) -> Tensor:
        return self.conv1(x)

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        rows = self.blocks
        return (rows[0], rows[1]), (rows[2],), (rows[3], rows[4]), (rows[5], rows[6])

    def through_stage(self, stage: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
        """The map after a stage, twice."""
        for blocks in stage:
            x = blocks(x)
        return x, x

    def last_map(self, before: Tensor, after: Tensor) -> Tensor:
        return self.conv2(after)

    def classify(self, embedding: Tensor) -> Tensor:
        return self.classifier(embedding)


def _conv_norm_relu(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        conv(in_channels, out_channels, kernel_size, stride),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
