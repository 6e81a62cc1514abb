"""Representation knowledge by information: correlated dimensions, and an agreement of Gram matrices."""

from typing import Annotated

from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.divergence import unit
from distiller_zoo.maps import precise
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output
from helper.errors import UserError


def deviations(x: Tensor) -> Tensor:
    """Each column of x (B, D) standardised over the batch by its unbiased deviation; a constant one is 0."""
    centred = x - x.mean(dim=0)
    variance = centred.square().sum(dim=0) / max(len(x) - 1, 1)
    varies = variance > 0
    return (centred / variance.where(varies, 1.0).sqrt()).where(varies, 0.0)


class ITRDLoss(nn.Module):
    """Two named terms between embeddings: 'correlation', of each dimension of the student's, brought to the
    teacher's size by a linear layer, with the same of the teacher's, and 'mutual', of their Gram matrices.

    Miles et al.: "Information Theoretic Representation Distillation", BMVC 2022.
    https://arxiv.org/abs/2112.00459

    Published code: correlations take unbiased deviations and divide by the batch size, so that (B - 1) / B is
    the largest one; so do these. A dimension that is constant over the batch is NaN there and counts as
    uncorrelated here.

    s_dim, t_dim: sizes of the embeddings; alpha: half the power of the correlations' errors.

        >>> import torch
        >>> loss = ITRDLoss(s_dim=2, t_dim=3)
        >>> sorted(loss(torch.eye(4, 2), torch.eye(4, 3)))
        ['correlation', 'mutual']
    """

    def __init__(self, s_dim: int, t_dim: int, alpha: float = 1.01):
        super().__init__()
        self.alpha = alpha
        self.embed = nn.Linear(s_dim, t_dim)

    def forward(self, f_s: Tensor, f_t: Tensor) -> dict[str, Tensor]:
        """Scalars of the student's embeddings (B, s_dim) against the teacher's (B, t_dim), B at least 2."""
        f_s, f_t = precise(f_s), precise(f_t.detach())
        embedded = self.embed(f_s)
        correlation = (deviations(embedded) * deviations(f_t)).mean(dim=0)
        errors = (correlation - 1).abs().pow(2 * self.alpha)
        compared = f_s if f_s.shape[1] == f_t.shape[1] else embedded
        grams = [unit(f, dim=1) @ unit(f, dim=1).T for f in (compared, f_t)]
        own, joint = grams[0] / len(f_s), grams[0] * grams[1] / len(f_s)
        return {"correlation": errors.sum().log2(), "mutual": (own.square() - joint.square()).sum()}


class ITRD(Distiller):
    """ITRD on the pooled embeddings beside plain CE, with the settings of the published example.

    Published code: the defaults of its flags, 0.05 for the Gram matrices and an alpha of 1.5, are not those
    of its example, which are taken here.
    """

    label = "ITRD"
    formula = (
        "2 log2 sum_d |c_d - 1|^(2 alpha) + mu sum (S^2 - X^2); c the correlation over the batch of W e_s "
        "and e_t, S, X Gram matrices"
    )
    weights = LossWeights(1.0, 0.0, 1.0)

    def __init__(
        self,
        example: Example,
        *,
        itrd_alpha: Annotated[float, positive_float, "ITRD: half the power of correlations' errors"] = 1.01,
        itrd_correlation: Annotated[float, non_negative_float, "ITRD: weight of correlations"] = 2.0,
        itrd_mutual: Annotated[float, non_negative_float, "ITRD: weight of the Gram matrices"] = 1.0,
    ):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for itrd, which correlates the images of a batch: use at least 2"
            )
        sizes = [out.embedding.shape[1] for out in (example.student, example.teacher)]
        self.loss = ITRDLoss(*sizes, itrd_alpha).to(example.labels.device)
        self.term_weights = {"correlation": itrd_correlation, "mutual": itrd_mutual}

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        terms = self.loss(student.embedding, teacher.embedding)
        return {name: self.term_weights[name] * term for name, term in terms.items()}
