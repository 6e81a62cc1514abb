"""Feature knowledge of the last stage, rephrased: the student's factors of it and the teacher's."""

from collections.abc import Iterable
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise, same_size, unit
from helper.arguments import positive_float
from helper.batch import Batch, Output
from helper.errors import UserError

SLOPE = 0.1
RESNETS = ("resnet", "wrn")
RATE_OF_RESNETS = 0.01


class FTLoss(nn.Module):
    """Distance between the factors of student and teacher, each as an attention map of unit length.

    Mean over elements of |difference|^p2, the attention map being the mean over channels of the p1-th power.
    Kim, Park, Kwak: "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018,
    equation 3. https://arxiv.org/abs/1802.04977

    Published code: that of the benchmarks is followed here; the authors' own compares the whole factors as
    unit vectors, without power and mean.

    >>> factor_s, factor_t = torch.rand(2, 8, 4, 4), torch.rand(2, 8, 4, 4)
    >>> FTLoss()(factor_s, factor_t) > 0, FTLoss()(factor_s, factor_s)
    (tensor(True), tensor(0.))
    """

    def __init__(self, p1: int = 2, p2: int = 1):
        super().__init__()
        self.p1, self.p2 = p1, p2

    def forward(self, factor_s: Tensor, factor_t: Tensor) -> Tensor:
        """Loss of the student's factors (B, K, H, W) and the teacher's (B, K', H', W').

        The larger of the two is averaged down first.
        """
        s, t = (self.attention(f) for f in same_size(factor_s, factor_t.detach()))
        difference = (s - t).abs()
        return (difference if self.p2 == 1 else difference.pow(self.p2)).mean()

    def attention(self, factor: Tensor) -> Tensor:
        """Unit vectors (B, H * W) of factors (B, K, H, W)."""
        return unit(factor.pow(self.p1).mean(dim=1).flatten(1))


class Paraphraser(nn.Module):
    """An autoencoder of the teacher's last map; what is between its halves are the teacher's factors.

    t_channels: of the map; factors: number of channels in between.
    """

    def __init__(self, t_channels: int, factors: int):
        super().__init__()
        down = (t_channels, t_channels), (t_channels, factors), (factors, factors)
        up = (factors, factors), (factors, t_channels), (t_channels, t_channels)
        self.encoder = nn.Sequential(
            *(layer for i, o in down for layer in (nn.Conv2d(i, o, 3, padding=1), nn.LeakyReLU(SLOPE)))
        )
        self.decoder = nn.Sequential(
            *(layer for i, o in up for layer in (nn.ConvTranspose2d(i, o, 3, padding=1), nn.LeakyReLU(SLOPE)))
        )

    def forward(self, f_t: Tensor) -> Tensor:
        """The map (B, C, H, W), rebuilt from its factors (B, K, H, W)."""
        return self.decoder(self.encoder(f_t))

    def loss(self, f_t: Tensor) -> Tensor:
        """Mean squared error of the rebuilt map, that of the first stage."""
        f_t = precise(f_t.detach())
        return F.mse_loss(self(f_t), f_t)


class Translator(nn.Module):
    """From the student's last map (B, C, H, W) to its factors (B, K, H, W): three convolutions with BN."""

    def __init__(self, s_channels: int, factors: int):
        super().__init__()
        widths = (s_channels, s_channels), (s_channels, factors), (factors, factors)
        self.encoder = nn.Sequential(
            *(
                layer
                for i, o in widths
                for layer in (nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.LeakyReLU(SLOPE))
            )
        )

    def forward(self, f_s: Tensor) -> Tensor:
        """The student's factors, in float32."""
        return self.encoder(precise(f_s))


class FT(Distiller):
    """FT on the last stage's maps: the paraphraser is trained first, alone; then the student with its
    translator.

    In the second stage the paraphraser is fixed.

    Published code: gradients for the paraphraser are still computed in the second stage, and never applied.
    The authors' own code rebuilds the map by an L1 loss, has a translator without BN and with an optimizer of
    its own, and weighs the loss by 500.
    """

    label = "FT"
    formula = (
        "mean |nu(mean_c S^2) - nu(mean_c P^2)|; S translator(F_s), P the paraphraser's factors of F_t, "
        "trained in a first stage"
    )
    weights = LossWeights(1.0, 0.0, 200.0)
    pretraining = 30

    def __init__(
        self,
        example: Example,
        *,
        ft_k: Annotated[float, positive_float, "FT: factors per channel of the teacher's last map"] = 0.5,
    ):
        super().__init__(example)
        s_channels, t_channels = example.student.maps[-1].shape[1], example.teacher.maps[-1].shape[1]
        factors = int(ft_k * t_channels)
        if factors < 1:
            raise UserError(
                f"--ft_k {ft_k:g} leaves no factor of the {t_channels} channels of {example.teacher_model}: "
                f"use at least {1 / t_channels:g}"
            )
        self.paraphraser = Paraphraser(t_channels, factors)
        self.student_model = example.student_model
        self.translator = Translator(s_channels, factors)
        self.loss = FTLoss()

    def trained_parameters(self) -> Iterable[nn.Parameter]:
        """The translator's."""
        return self.translator.parameters()

    def pretrained_parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The paraphraser's."""
        return self.paraphraser.parameters()

    def pretraining_rate(self, usual: float) -> float:
        """The published code's 0.01 where the student is a (wide) ResNet, else the usual one."""
        return RATE_OF_RESNETS if self.student_model.startswith(RESNETS) else usual

    def pretrain(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """The loss of the first stage."""
        return self.paraphraser.loss(teacher.maps[-1])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        with torch.no_grad():
            factor_t = self.paraphraser.encoder(precise(teacher.maps[-1]))
        return self.loss(self.translator(student.maps[-1]), factor_t)
