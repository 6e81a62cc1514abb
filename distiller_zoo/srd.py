"""Feature knowledge through a linear projector and whitened embeddings, without a memory bank."""

from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.kd import DistillKL
from distiller_zoo.maps import precise
from helper.batch import Batch, Output
from helper.errors import UserError

FORMS = ("distance", "correlation")
TEMPERATURE = 1.0
POWER = 4  # the paper's alpha
NORM_EPSILON = {"distance": 1e-4, "correlation": 1e-12}  # published: 1e-4 and 0
SMALLEST_SUM = 1e-12
CORRELATION_OFFSET = 1e-5


class SRDLoss(nn.Module):
    """Logarithm of the summed fourth powers between a projected student's embeddings and the teacher's.

    Both are normalised per dimension over the batch, u and v. `distance`, for convolutional networks, is the
    published log sum |u - v|^4 over batch and dimensions; `correlation`, for the transformers, is log(1e-5 +
    sum over dimensions of |c - 1|^4) with c the batch mean of u v. Miles, Mikolajczyk: "Understanding the
    Role of the Projector in Knowledge Distillation", AAAI 2024, section 3. https://arxiv.org/abs/2303.11098

    Published code: the two forms are different losses under one name. Where u equals v the distance is minus
    infinity; here it stops at log 1e-12, without gradient. The normalisation of `correlation` has an epsilon
    of 0, which torch refuses by now, here 1e-12. All sizes are 512, and the class for the transformers does
    not run, as its super() names a class that does not exist.

    s_dim, t_dim: sizes of the embeddings; form: one of FORMS, ValueError for another; power: of the
    differences; epsilon: of the normalisation, by default the form's own.

    >>> import torch
    >>> SRDLoss(64, 128)(torch.randn(8, 64), torch.randn(8, 128)).shape
    torch.Size([])
    """

    def __init__(
        self,
        s_dim: int,
        t_dim: int,
        form: str = "distance",
        power: float = POWER,
        epsilon: float | None = None,
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form is {form!r}: allowed are {', '.join(FORMS)}")
        self.form, self.power = form, power
        self.epsilon = NORM_EPSILON[form] if epsilon is None else epsilon
        self.embed = nn.Linear(s_dim, t_dim)

    def forward(self, f_s: Tensor, f_t: Tensor) -> Tensor:
        """Scalar loss of embeddings f_s (B, s_dim) against f_t (B, t_dim), B at least 2."""
        u = self.normalised(self.embed(precise(f_s)))
        v = self.normalised(precise(f_t.detach()))
        if self.form == "correlation":
            correlation = (u * v).mean(dim=0)
            return ((correlation - 1.0).abs().pow(self.power).sum() + CORRELATION_OFFSET).log()
        return (u - v).abs().pow(self.power).sum().clamp(min=SMALLEST_SUM).log()

    def normalised(self, embeddings: Tensor) -> Tensor:
        """Each dimension of (B, D) with mean 0 and variance 1 over the batch; a constant one is 0."""
        return F.batch_norm(embeddings, None, None, training=True, eps=self.epsilon)


class SRD(Distiller):
    """SRD on the pooled embeddings.

    Its value holds the logarithm of the batch size: losses of different batch sizes cannot be compared.

    Published code: its runs are on ImageNet, with CE + 2 SRD + KD at T = 1; there is none for CIFAR, nor are
    there weights.
    """

    label = "SRD"
    formula = "log sum |BN(W e_s) - BN(e_t)|^4"
    weights = LossWeights(1.0, 1.0, 2.0)

    def __init__(
        self,
        example: Example,
        *,
        srd_form: Annotated[str, FORMS, "SRD: the loss for convolutional networks or for transformers"] = (
            "distance"
        ),
    ):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for srd, which normalises over the images of a batch: use at "
                "least 2"
            )
        self.loss = SRDLoss(
            example.student.embedding.shape[1], example.teacher.embedding.shape[1], form=srd_form
        )

    @classmethod
    def kd_loss(cls, student: str, teacher: str, *, kd_T: float | None = None, **flags: Any) -> DistillKL:
        """KD at T = 1 unless another is asked for."""
        return DistillKL(kd_T or TEMPERATURE)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.embedding, teacher.embedding)
