"""Feature knowledge before the ReLU: which neurons the teacher activates, not how much."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import map_parameters, precise
from helper.batch import Batch, Output
from helper.errors import UserError

SCALE = 3 / 1000  # of the published code


class ABLoss(nn.Module):
    """Squared distance of the student's values from being active, or inactive, as the teacher's are.

    All maps are those before the ReLU, the student's in the teacher's shape. Where the teacher's value is
    positive the student should reach the margin, elsewhere minus the margin. Per pair of maps the sum over
    all elements, divided by the batch and times 3 / 1000; the last pair counts fully, each one before half as
    much. Heo, Lee, Yun, Choi: "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
    Neurons", AAAI 2019, section 3. https://arxiv.org/abs/1811.03233

    margin: above 0.

    >>> f = [torch.tensor([2.0, -3.0]).reshape(1, 2, 1, 1)]
    >>> ABLoss()(f, f), ABLoss()(f, [-f[0]])
    (tensor(0.), tensor(0.0750))
    """

    def __init__(self, margin: float = 1.0):
        super().__init__()
        self.margin = margin

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, C, H, W)] against the teacher's of the same shapes."""
        return torch.stack(self.pairs(f_s, f_t)).sum()

    def pairs(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The weighted loss of each pair of maps."""
        found = []
        for number, (s, t) in enumerate(zip(f_s, f_t, strict=True)):
            s = precise(s)
            short = torch.where(t.detach() > 0, self.margin - s, s + self.margin).relu()
            found.append(short.square().sum() * (SCALE / len(s) / 2 ** (len(f_s) - 1 - number)))
        return found


class Connector(nn.Module):
    """From a student's map to the teacher's shape: a convolution and BN; the map itself if the shapes agree.

    student, teacher: shapes (B, C, H, W). Twice as large: 3x3 with stride 2; half as large: transposed, 4x4
    with stride 2; larger or equal otherwise: a kernel that is as much larger than 1 as the map is. Raises
    ValueError if the student's map is smaller otherwise.
    """

    def __init__(self, student: Sequence[int], teacher: Sequence[int]):
        super().__init__()
        (_, c_s, h_s, w_s), (_, c_t, h_t, w_t) = student, teacher
        self.same = (c_s, h_s, w_s) == (c_t, h_t, w_t)
        if self.same:
            return
        if (h_s, w_s) == (2 * h_t, 2 * w_t):
            self.conv: nn.Module = nn.Conv2d(c_s, c_t, 3, stride=2, padding=1)
        elif (2 * h_s, 2 * w_s) == (h_t, w_t):
            self.conv = nn.ConvTranspose2d(c_s, c_t, 4, stride=2, padding=1)
        elif h_s >= h_t and w_s >= w_t:
            self.conv = nn.Conv2d(c_s, c_t, (1 + h_s - h_t, 1 + w_s - w_t))
        else:
            raise ValueError(f"no connector from a map of {h_s} x {w_s} to one of {h_t} x {w_t}")
        self.bn = nn.BatchNorm2d(c_t)

    def forward(self, f_s: Tensor) -> Tensor:
        """The student's map (B, C_s, H_s, W_s) in the teacher's shape (B, C_t, H_t, W_t), in float32."""
        return precise(f_s) if self.same else self.bn(self.conv(precise(f_s)))


class AB(Distiller):
    """AB as a stage of its own, after which the student learns from the labels alone.

    The first stage trains stem and stages (of a wide ResNet without its last BN) and the connectors.

    Published code: the second stage has a weight of 1 and multiplies it with a loss of 0, and so has this
    one. The BN of a wide ResNet's next stage is evaluated a second time, which counts the batch twice in its
    running statistics; here it is evaluated once. The authors' own connectors are all 1x1, without bias, and
    start from a normal distribution; these are RepDistiller's.
    """

    label = "AB"
    formula = (
        "first stage: sum over stages 2^(l - L + 1) 0.003 / B e(c(F_s), F_t); e = (s + 1)^2 if s > -1, t <= "
        "0; (s - 1)^2 if s <= 1, t > 0"
    )
    weights = LossWeights(1.0, 0.0, 1.0)
    pretraining = 30

    def __init__(self, example: Example):
        super().__init__(example)
        maps_s, maps_t = example.student.preact, example.teacher.preact
        if not maps_s or not maps_t:
            lacking = example.student_model if not maps_s else example.teacher_model
            raise UserError(
                f"ab reads maps before their ReLU, which {lacking} does not give: choose a network of "
                "models/, or another method"
            )
        if len(maps_s) != len(maps_t):
            raise UserError(
                f"ab needs as many stages in both networks, but {example.student_model} has {len(maps_s)} "
                f"and {example.teacher_model} {len(maps_t)}: choose another pair or method"
            )
        try:
            self.connectors = nn.ModuleList(
                Connector(s.shape, t.shape) for s, t in zip(maps_s, maps_t, strict=True)
            )
        except ValueError as error:
            raise UserError(f"ab cannot serve this pair: {error}; choose another pair or method") from error
        self.loss = ABLoss()

    def trained_parameters(self) -> Iterable[nn.Parameter]:
        """None: the connectors belong to the first stage."""
        return []

    def pretrained_parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The student's stem and stages, and the connectors."""
        return [*map_parameters(network), *self.connectors.parameters()]

    def pretrain(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """The loss of the first stage."""
        values = [connector(f) for connector, f in zip(self.connectors, student.preact, strict=True)]
        return self.loss(values, teacher.preact)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Zero: the second stage has no loss of its own."""
        return student.logits.new_zeros(())
