"""Feature knowledge many to one: copies of the teacher's last map, each met by channels of its own."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.kd import DistillKL
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output
from helper.errors import UserError

COPIES = 8  # the paper's N
LOGIT_SCALE = 2.5
NORM_EPSILON = 1e-7
RUN = 240  # epochs that the schedule is written for
SCHEDULE = ((210, 0.1), (180, 0.5), (20, 1.0), (10, 0.5), (0, 0.1))  # (from epoch, factor)
PROBE_IMAGES = (2, 3, 32, 32)


class NORMHead(nn.Module):
    """The student's last map widened to several times the teacher's channels, and back to a residual.

    X. Liu, L. Li, C. Li, A. Yao: "NORM: Knowledge Distillation via N-to-One Representation Matching", ICLR
    2023, section 3.2. https://openreview.net/forum?id=CRNwGauQpb6 Nothing in it bends: 1x1 convolutions, BN.

    s_channels, t_channels: of the last maps; copies: N.
    """

    def __init__(self, s_channels: int, t_channels: int, copies: int = COPIES):
        super().__init__()
        wide = copies * t_channels
        self.expand = nn.Sequential(nn.Conv2d(s_channels, wide, 1, bias=False), nn.BatchNorm2d(wide))
        self.contract = nn.Sequential(nn.Conv2d(wide, s_channels, 1, bias=False), nn.BatchNorm2d(s_channels))

    def forward(self, f_s: Tensor) -> tuple[Tensor, Tensor]:
        """The expanded map (B, N C_t, H, W), and what is added to the student's map (B, C_s, H, W)."""
        expanded = self.expand(f_s)
        return expanded, self.contract(expanded)


class NORMLoss(nn.Module):
    """N times the mean squared difference between the expanded map and N copies of the teacher's.

    Liu et al., ICLR 2023, section 3.2. https://openreview.net/forum?id=CRNwGauQpb6

    >>> NORMLoss()(torch.ones(2, 6, 4, 4), torch.zeros(2, 3, 8, 8))
    tensor(2.)
    """

    def forward(self, expanded: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of the expanded map (B, N C, H, W) against the teacher's (B, C, r H, r W), which is
        max-pooled to the student's size.
        """
        target = precise(f_t.detach())
        if target.shape[2:] != expanded.shape[2:]:
            target = F.max_pool2d(target, target.shape[2] // expanded.shape[2])
        copies = expanded.shape[1] // target.shape[1]
        difference = precise(expanded).unflatten(1, (copies, -1)) - target[:, None]
        return copies * difference.square().mean()


def fixed_norm(logits: Tensor, scale: float = LOGIT_SCALE) -> Tensor:
    """Logits (B, C) with mean 0 and standard deviation `scale` in each row; a constant row becomes 0."""
    return scale * F.layer_norm(logits, logits.shape[1:], eps=NORM_EPSILON)


class NORMNetwork(nn.Module):
    """A student whose last map gets the residual of a NORMHead, with logits of fixed norm.

    Where the embedding averages a map over its places, adding the head's average to it is the same as adding
    its residual to the map, so any network of that kind will do. In a wide ResNet that map is the one behind
    the last batch norm and ReLU, where the published code takes the one in front of them. In a network of
    models/ with more layers behind its last map (MobileNetV2, ShuffleV2) the residual goes in front of these,
    where the published code has it behind them, or doesn't run (ShuffleNets). Raises UserError for any other
    student.

    student: a network with `outputs` and `classifier`; t_channels: of the teacher's last map.
    """

    def __init__(self, student: nn.Module, t_channels: int, copies: int = COPIES):
        super().__init__()
        self.student = student
        output = probe(student)
        last = output.maps[-1]
        self.behind_norm = self.in_front = False
        if not _is_average(output.embedding, last):
            behind = output.preact[-1].relu() if output.preact else last
            self.behind_norm = _is_average(output.embedding, behind)
            self.in_front = not self.behind_norm
        if self.in_front and not hasattr(student, "through_stages"):
            raise UserError(
                f"norm cannot serve a {type(student).__name__} as student: its embedding is not the average "
                "of its last stage's map; choose another student or method"
            )
        self.head = NORMHead(last.shape[1], t_channels, copies)

    @property
    def classifier(self) -> nn.Linear:
        """The student's own."""
        return self.student.classifier

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """The student's own."""
        return self.student.norms_before_relu()

    def outputs(self, images: Tensor) -> Output:
        """The student's Output with another embedding and logits, and the expanded map behind its maps."""
        if self.in_front:
            stem = self.student.stem(images)
            stages = list(self.student.through_stages(stem))
            preact, maps = map(list, zip(*stages, strict=True))
            expanded, residual = self.head(maps[-1])
            embedding = self.student.embed(preact[-1], maps[-1] + residual)
        else:
            stem, maps, preact, embedding, *_ = self.student.outputs(images)
            expanded, residual = self.head(preact[-1].relu() if self.behind_norm else maps[-1])
            embedding = embedding + residual.mean(dim=(2, 3))
        logits = fixed_norm(self.classifier(embedding))
        return Output(stem, [*maps, expanded], preact, embedding, logits)

    def forward(
        self, images: Tensor, is_feat: bool = False, preact: bool = False
    ) -> Tensor | tuple[list[Tensor], Tensor]:
        """Logits (B, C) of images (B, 3, H, W); with `is_feat`, (features, logits)."""
        output = self.outputs(images)
        if not is_feat:
            return output.logits
        maps = [*output.preact, output.maps[-1]] if preact else output.maps
        return [output.stem, *maps, output.embedding], output.logits


@torch.no_grad()
def probe(network: nn.Module) -> Output:
    """A network's Output in eval mode for two images of noise; its mode and statistics stay as they are."""
    parameter, training = next(network.parameters()), network.training
    images = torch.randn(PROBE_IMAGES, generator=torch.Generator().manual_seed(0)).to(parameter)
    network.eval()
    try:
        return network.outputs(images)
    finally:
        network.train(training)


def _is_average(embedding: Tensor, feature: Tensor) -> bool:
    mean = feature.mean(dim=(2, 3))
    return mean.shape == embedding.shape and torch.allclose(mean, embedding, rtol=1e-3, atol=1e-5)


def schedule(epoch: int, epochs: int = RUN) -> float:
    """The factor of the loss in epoch `epoch` (from 0), as in the published 240, stretched over the run."""
    position = max(RUN * epoch // epochs, 0)
    return next(factor for start, factor in SCHEDULE if position >= start)


class NORM(Distiller):
    """NORM on the last stage maps, in a student with a head of its own.

    The published weight of cross-entropy is searched per pair, 0.0625 to 0.5; 0.1 is its example's. With
    `--norm_kd` above 0, NORM + KD: both networks' logits of fixed norm are compared, where -a compares them
    with the teacher's own.
    """

    label = "NORM"
    weights = LossWeights(0.1, 0.0, 1.0)
    free_scale = True

    def __init__(
        self,
        example: Example,
        *,
        norm_kd: Annotated[float, non_negative_float, "NORM: weight of KD on logits of fixed norm"] = 0.0,
        kd_T: Annotated[float, positive_float, "temperature of KD"] = 4.0,
    ):
        super().__init__(example)
        expanded, target = example.student.maps[-1].shape, example.teacher.maps[-1].shape
        if target[2] % expanded[2] or target[3] % expanded[3]:
            raise UserError(
                f"norm cannot match a student's map of {expanded[2]} x {expanded[3]} with the teacher's "
                f"{target[2]} x {target[3]}: the teacher's has to be a whole number of times as large"
            )
        self.kd_weight, self.kd = norm_kd, DistillKL(kd_T)
        self.loss = NORMLoss()
        self.register_buffer("factor", torch.ones(()), persistent=False)

    @staticmethod
    def network(student: nn.Module, teacher: nn.Module, num_classes: int) -> nn.Module:
        return NORMNetwork(student, probe(teacher).maps[-1].shape[1])

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.factor.fill_(schedule(epoch, epochs))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        terms = {"norm": self.factor * self.loss(student.maps[-1], teacher.maps[-1])}
        if self.kd_weight:
            terms["norm_kd"] = self.kd_weight * self.kd(student.logits, fixed_norm(teacher.logits))
        return terms
