"""A network of one's own: three stages of one convolution each.

    python -m examples.network --model small --dataset digits --epochs 12

In the project it would be models/small.py and one line in models/__init__.py: "small": "small:Small".
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

import train_teacher
from helper.errors import run_script
from models import model_dict
from models.common import StagedNetwork, conv, initialise_convolutions


class Small(StagedNetwork):
    """A stem, stages of which each gives a map before its ReLU, and a linear classifier; the rest is the
    base's.
    """

    def __init__(self, num_classes: int = 100):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        self.layers = nn.ModuleList(
            nn.Sequential(conv(width, 2 * width, 3, stride=2), nn.BatchNorm2d(2 * width))
            for width in (16, 32, 64)
        )
        self.fc = nn.Linear(128, num_classes)
        initialise_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[layer] for layer in self.layers]

    def classify(self, embedding: Tensor) -> Tensor:
        return self.fc(embedding)


model_dict["small"] = Small

if __name__ == "__main__":
    run_script(train_teacher.main)
