"""Response knowledge of the directions between images, beside KD."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_divergence, teacher_logits, unit
from distiller_zoo.kd import TEMPERATURE
from distiller_zoo.maps import precise
from distiller_zoo.mlkd import part_up_to_median
from helper.arguments import positive_float
from helper.batch import Batch, Output


def direction_loss(z_s: Tensor, z_t: Tensor, tikhonov: float = 0.1) -> Tensor:
    """Batch mean of the rows' Mahalanobis lengths, of the difference of the cosine matrices (B, B) over C.

    The metric is the rows' unbiased covariance plus tikhonov times the identity, beside which the covariance
    hardly counts. A row without a difference gets no gradient (the published code gives NaN there).
    """
    cosines = [unit(z, dim=1) @ unit(z, dim=1).T / z.shape[1] for z in (z_s, z_t)]
    difference = cosines[0] - cosines[1]
    centred = difference - difference.mean(dim=0)
    identity = torch.eye(len(z_s), dtype=z_s.dtype, device=z_s.device)
    metric = centred.T @ centred / max(len(z_s) - 1, 1) + tikhonov * identity
    factor, _ = torch.linalg.cholesky_ex(metric)  # without the check that waits for the device
    whitened = torch.linalg.solve_triangular(factor, difference.T, upper=False)
    return torch.linalg.vector_norm(whitened, dim=0).mean()


class SKDLoss(nn.Module):
    """Two named terms: 'logits', T^2 * KL, and 'direction', see `direction_loss`.

    Each is scaled by the part of images (of classes) whose confidence is at most the median, a half but for
    ties, as MLKD's are. Jeong et al.: "Streamlined Knowledge Distillation", CVPR 2026.
    https://github.com/HyunJunSik/StreamLined

    T: temperature, above 0; tikhonov: what is added to the diagonal of the covariance.

        >>> import torch
        >>> z = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
        >>> sorted(SKDLoss()(z, z).items())
        [('direction', tensor(0.)), ('logits', tensor(0.))]
    """

    def __init__(self, T: float = 4.0, tikhonov: float = 0.1):
        super().__init__()
        self.T, self.tikhonov = T, tikhonov

    def forward(self, z_s: Tensor, z_t: Tensor) -> dict[str, Tensor]:
        """Scalars of the student's logits (B, C) against the teacher's (B, C)."""
        z_s, z_t = precise(z_s), teacher_logits(z_t)
        confidence = F.softmax(z_t, dim=1)
        images = part_up_to_median(confidence.amax(dim=1))
        classes = part_up_to_median(confidence.sum(dim=0))
        return {
            "logits": images * kl_divergence(z_s, z_t, self.T).mean() * self.T**2,
            "direction": classes * direction_loss(z_s, z_t, self.tikhonov),
        }


class SKD(Distiller):
    """SKD beside CE, both with weight 1/2.

    Published code: it shows each image twice per epoch, once strongly augmented, at a learning rate of 0.1,
    so that its 240 epochs are 480 of this one's; here there is no strong view. Its covariance is some 1e-6
    beside the 0.1 on the diagonal, so that the Mahalanobis length is nothing but a length over the root of
    0.1, here too. A row without a difference has a gradient of NaN there and none here.
    """

    label = "SKD"
    formula = (
        "m T^2 KL(p_t, p_s) + c mean_b sqrt(D_b' S^-1 D_b); D = G_s - G_t, G cosines between the images' "
        "logits, S the covariance of D"
    )
    weights = LossWeights(0.5, 0.0, 0.5)

    def __init__(
        self,
        example: Example,
        *,
        skd_tikhonov: Annotated[float, positive_float, "SKD: what the covariance's diagonal gets"] = 0.1,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
    ):
        super().__init__(example)
        self.loss = SKDLoss(kd_T or TEMPERATURE, skd_tikhonov)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        return self.loss(student.logits, teacher.logits)
