"""Response knowledge within and across two views of an image, where the teacher is sure enough."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import kl_divergence, teacher_logits
from distiller_zoo.kd import TEMPERATURE
from distiller_zoo.maps import precise
from helper.arguments import fraction, non_negative_float, positive_float
from helper.batch import Batch, Output


class CRLDLoss(nn.Module):
    """Two named terms: 'within' a view, of images whose weak view the teacher is sure of, and 'across' views,
    of images whose strong view it is sure of.

    Each is a batch mean (of all images) of T^2 * KL, added for both views of the student. Zhang, Liu, Cai,
    Ma: "Cross-View Consistency Regularisation for Knowledge Distillation", ACM MM 2024.
    https://arxiv.org/abs/2412.16493

    T: temperature, above 0; weak_confidence, strong_confidence: the teacher's least probability of its best
    class, at temperature 1.

        >>> import torch
        >>> z = torch.tensor([[9.0, 1.0, 0.0]])
        >>> sorted(CRLDLoss()(z, z, z, z).items())
        [('across', tensor(0.)), ('within', tensor(0.))]
    """

    def __init__(self, T: float = 4.0, weak_confidence: float = 0.9, strong_confidence: float = 0.2):
        super().__init__()
        self.T, self.weak_confidence, self.strong_confidence = T, weak_confidence, strong_confidence

    def forward(self, z_s: Tensor, z_t: Tensor, z_s_strong: Tensor, z_t_strong: Tensor) -> dict[str, Tensor]:
        """Scalars of the student's logits (B, C) against the teacher's (B, C), for both views."""
        z_s, z_s_strong = precise(z_s), precise(z_s_strong)
        z_t, z_t_strong = teacher_logits(z_t), teacher_logits(z_t_strong)
        sure = F.softmax(z_t, dim=1).amax(dim=1) >= self.weak_confidence
        sure_strong = F.softmax(z_t_strong, dim=1).amax(dim=1) >= self.strong_confidence
        within = kl_divergence(z_s, z_t, self.T) + kl_divergence(z_s_strong, z_t_strong, self.T)
        across = kl_divergence(z_s_strong, z_t, self.T) + kl_divergence(z_s, z_t_strong, self.T)
        return {
            "within": (sure * within).mean() * self.T**2,
            "across": (sure_strong * across).mean() * self.T**2,
        }


class CRLD(Distiller):
    """CRLD, which sees each image a second time, strongly augmented, and classifies that one too.

    Terms: 'ce_strong', weighted by --crld_ce as -r weights CE on the weak view, 'within' and 'across'.
    """

    label = "CRLD"
    formula = (
        "2 mean(mW (kd(w,w) + kd(s,s))) + 0.5 mean(mS (kd(s,w) + kd(w,s))); w, s views, m where the teacher "
        "is sure"
    )
    weights = LossWeights(1.0, 0.0, 1.0)
    views = ("strong",)
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        crld_within: Annotated[float, non_negative_float, "CRLD: weight within a view"] = 2.0,
        crld_across: Annotated[float, non_negative_float, "CRLD: weight across views"] = 0.5,
        crld_weak: Annotated[float, fraction, "CRLD: least confidence of the teacher, weak view"] = 0.9,
        crld_strong: Annotated[float, fraction, "CRLD: least confidence of the teacher, strong view"] = 0.2,
        crld_ce: Annotated[float, non_negative_float, "CRLD: weight of CE on the strong view"] = 1.0,
        kd_T: Annotated[
            float | None, positive_float, "temperature of KD (default 4; with --logit_stand the pair's)"
        ] = None,
    ):
        super().__init__(example)
        self.term_weights = {"ce_strong": crld_ce, "within": crld_within, "across": crld_across}
        self.loss = CRLDLoss(kd_T or TEMPERATURE, crld_weak, crld_strong)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        strong_s, strong_t = student.views["strong"].logits, teacher.views["strong"].logits
        terms = {"ce_strong": F.cross_entropy(precise(strong_s), batch.labels)}
        terms |= self.loss(student.logits, teacher.logits, strong_s, strong_t)
        return {name: self.term_weights[name] * term for name, term in terms.items()}
