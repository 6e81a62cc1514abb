"""Feature knowledge between channels: which channels of the last map go together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise, unit
from helper.batch import Batch, Output
from helper.device import autocast_like


class ICKDLoss(nn.Module):
    """Squared distance of the two networks' inter-channel correlations, per image and channel.

    The student's map goes through a 1x1 convolution without bias to the teacher's channels and BN; a map's
    correlations are the inner products of its channels, each row a unit vector. The maps' sizes may differ.
    Liu et al.: "Exploring Inter-Channel Correlation for Diversity-Preserved Knowledge Distillation", ICCV
    2021, section 3.2. https://arxiv.org/abs/2202.03680

    Published code: a second embedding in its optimizer is never used and never changes; it is left out here.

    s_channels, t_channels: of the maps.

    >>> ICKDLoss(4, 6)(torch.randn(2, 4, 8, 8), torch.randn(2, 6, 8, 8)).shape
    torch.Size([])
    """

    def __init__(self, s_channels: int, t_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(s_channels, t_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(t_channels)

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of the student's map (B, C_s, H, W) against the teacher's (B, C_t, H', W')."""
        with autocast_like(f_s):
            projected = self.norm(self.conv(f_s))
        own = channel_correlations(precise(projected))
        return F.mse_loss(own, channel_correlations(precise(f_t.detach()))) * own.shape[1]


def channel_correlations(feature: Tensor) -> Tensor:
    """Inner products (B, C, C) of the channels of maps (B, C, H, W), rows of unit length; zero stays zero."""
    channels = feature.flatten(2)
    return unit(torch.bmm(channels, channels.transpose(1, 2)), dim=2)


class ICKD(Distiller):
    """ICKD-C on the last stage maps. The published results on CIFAR-100 are with KD."""

    label = "ICKD"
    formula = (
        "|nu(x x') - nu(F_t F_t')|^2 / (C B); x = BN(conv(F_s)), Gram matrices of channels, rows of length 1"
    )
    weights = LossWeights(1.0, 1.0, 2.5)

    def __init__(self, example: Example):
        super().__init__(example)
        self.loss = ICKDLoss(example.student.maps[-1].shape[1], example.teacher.maps[-1].shape[1])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps[-1], teacher.maps[-1])
