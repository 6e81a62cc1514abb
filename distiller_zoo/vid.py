"""Feature knowledge of all stages: how likely the teacher's maps are, given the student's."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import same_size
from helper.batch import Batch, Output


class VIDLoss(nn.Module):
    """Negative log-likelihood of a teacher's map under a normal distribution that is predicted from the
    student's.

    Three 1x1 convolutions give its mean at every position; its variance is trained per channel. The mean over
    all elements, without the constant. Ahn, Hu, Damianou, Lawrence, Dai: "Variational Information
    Distillation for Knowledge Transfer", CVPR 2019, section 2. https://arxiv.org/abs/1904.05835

    Published code: the softplus of the variances overflows for a `log_scale` above 88; the one here does not.
    In mdistiller's code the variances are not trained and stay at 5; here they are, as in RepDistiller's.

    s_channels, t_channels: of the two maps; mid_channels: between the convolutions (None: the teacher's);
    init_pred_var: variance at the start, above eps, the smallest possible one.

    >>> loss = VIDLoss(s_channels=4, t_channels=16)
    >>> loss(torch.rand(2, 4, 8, 8), torch.rand(2, 16, 8, 8)).shape
    torch.Size([])
    """

    def __init__(
        self,
        s_channels: int,
        t_channels: int,
        mid_channels: int | None = None,
        init_pred_var: float = 5.0,
        eps: float = 1e-5,
    ):
        super().__init__()
        middle = t_channels if mid_channels is None else mid_channels
        self.eps = eps
        self.regressor = nn.Sequential(
            nn.Conv2d(s_channels, middle, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(middle, middle, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(middle, t_channels, 1, bias=False),
        )
        start = math.log(math.expm1(init_pred_var - eps))
        self.log_scale = nn.Parameter(torch.full((t_channels,), start))

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Loss of a student's map (B, C_s, H, W) and a teacher's (B, C_t, H', W').

        The larger of the two is averaged down first.
        """
        f_s, f_t = same_size(f_s, f_t.detach())
        variance = (F.softplus(self.log_scale) + self.eps)[:, None, None]
        return ((self.regressor(f_s) - f_t).square() / variance + variance.log()).mean() / 2


class VID(Distiller):
    """Variational information distillation between the stage maps of student and teacher, summed."""

    label = "VID"
    formula = (
        "sum over stages of the mean of ((m(F_s) - F_t)^2 / sigma_c^2 + log sigma_c^2) / 2; m, sigma trained"
    )
    weights = LossWeights(1.0, 0.0, 1.0)

    def __init__(self, example: Example):
        super().__init__(example)
        pairs = zip(example.student.maps, example.teacher.maps, strict=False)
        self.losses = nn.ModuleList(VIDLoss(s.shape[1], t.shape[1]) for s, t in pairs)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        triples = zip(self.losses, student.maps, teacher.maps, strict=False)
        return torch.stack([loss(s, t) for loss, s, t in triples]).sum()
