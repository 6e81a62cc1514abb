"""Feature knowledge of the last layer, and the teacher's classifier on top of it."""

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.last_map import last_map_of
from distiller_zoo.maps import same_size
from helper.batch import Batch, Output
from models.reused import ReusedClassifier, reused_name


class SimKDLoss(nn.Module):
    """Mean squared error between the projected student's map and the teacher's last map.

    The larger map is averaged down to the size of the smaller. Chen et al.: "Knowledge Distillation with the
    Reused Teacher Classifier", CVPR 2022, equation 2. https://arxiv.org/abs/2203.14001

        >>> import torch
        >>> SimKDLoss()(torch.zeros(2, 4, 1, 1), torch.ones(2, 4, 2, 2)).item()
        1.0
    """

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of the projected map (B, C, H, W) against the teacher's (B, C, H', W')."""
        return F.mse_loss(*same_size(f_s, f_t.detach()))


class SimKD(Distiller):
    """SimKD: the network that is trained, saved and deployed ends in the teacher's own classifier.

    The loss is the map's alone: no label counts, and the classifier stays as the teacher has it. For a wide
    ResNet the last map is taken behind its last BN and ReLU, as the classifier sees it.

    Published code: the student's own classifier stays among the trained weights, where it gets no gradient
    and decays; here it is not part of the network.
    """

    label = "SimKD"
    formula = (
        "|h(F_s) - F_t|^2, a mean over all elements; h three trained convolutions; prediction by the "
        "teacher's classifier of h(F_s)"
    )
    weights = LossWeights(0.0, 0.0, 1.0)

    def __init__(self, example: Example):
        super().__init__(example)
        self.last_map = last_map_of(example.teacher, "simkd", example.teacher_model)
        self.loss = SimKDLoss()

    @staticmethod
    def network(student: nn.Module, teacher: nn.Module, num_classes: int) -> ReusedClassifier:
        return ReusedClassifier.of(student, teacher, num_classes)

    @staticmethod
    def network_name(student: str, teacher: str) -> str:
        """The name under which `models.build_network` builds the network anew."""
        return reused_name(student, teacher)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps[-1], self.last_map(teacher))
