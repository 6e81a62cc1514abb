"""A method of one's own: the student's maps are to be active where the teacher's are.

    python -m examples.method --path_t T.pth --model_s resnet8 --distill attention --dataset
    digits --epochs 12

In the project it would be distiller_zoo/attention.py and one line in distiller_zoo/__init__.py:
"attention": "attention:Attention".
"""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

import train_student
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, Example, LossWeights
from helper.arguments import positive_float
from helper.batch import Batch, Output
from helper.errors import UserError, run_script


class Attention(Distiller):
    """Squared distance between the attention maps of all stages."""

    label = "Attention"  # in tables and legends
    weights = LossWeights(gamma=1.0, alpha=0.0, beta=100.0)  # defaults of -r, -a and -b

    def __init__(
        self,
        example: Example,
        *,
        attention_power: Annotated[float, positive_float, "of the activations in a map"] = 2.0,
    ):
        super().__init__(example)
        if len(example.student.maps) != len(example.teacher.maps):
            raise UserError("attention needs networks with equally many stages: choose another student")
        self.power = attention_power

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        pairs = zip(student.maps, teacher.maps, strict=True)
        return sum((self.attention(f_s) - self.attention(f_t)).square().mean() for f_s, f_t in pairs)

    def attention(self, feature: Tensor) -> Tensor:
        """Where a map (B, C, H, W) is active: unit vectors (B, 64) of 8 x 8 places."""
        active = F.adaptive_avg_pool2d(feature.float().abs().pow(self.power).mean(dim=1, keepdim=True), 8)
        return F.normalize(active.flatten(1), dim=1)


distiller_dict["attention"] = Attention

if __name__ == "__main__":
    run_script(train_student.main)
