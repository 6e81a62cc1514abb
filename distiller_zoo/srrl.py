"""Feature knowledge judged by the teacher's classifier: what it says of the student's features counts too."""

import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise
from helper.batch import Batch, Output
from helper.errors import UserError


class SRRLLoss(nn.Module):
    """Squared errors of a projected student's embeddings, and of the teacher's classifier's logits of them.

    The projection is linear without bias, BN and ReLU. Yang, Martinez, Bulat, Tzimiropoulos: "Knowledge
    Distillation via Softmax Regression Representation Learning", ICLR 2021, section 3.
    https://openreview.net/forum?id=ZzwDy_wiWv

    s_dim: size of the student's embeddings; classifier: the teacher's, D to C, which stays as it is: its
    weights are neither trained nor part of the state.

    >>> import torch
    >>> SRRLLoss(64, nn.Linear(128, 10))(
    ...     torch.randn(8, 64), torch.randn(8, 128), torch.randn(8, 10)
    ... ).keys()
    dict_keys(['feature', 'logits'])
    """

    def __init__(self, s_dim: int, classifier: nn.Linear):
        super().__init__()
        self.transfer = nn.Sequential(
            nn.Linear(s_dim, classifier.in_features, bias=False),
            nn.BatchNorm1d(classifier.in_features),
            nn.ReLU(),
        )
        bias = None if classifier.bias is None else classifier.bias.detach()
        self.register_buffer("weight", classifier.weight.detach(), persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, f_s: Tensor, f_t: Tensor, z_t: Tensor) -> dict[str, Tensor]:
        """Both losses, 'feature' and 'logits', of embeddings f_s (B, s_dim) against the teacher's f_t (B, D)
        and its logits z_t (B, C); B at least 2.
        """
        projected = self.transfer(precise(f_s))
        return {
            "feature": F.mse_loss(projected, precise(f_t.detach())),
            "logits": F.mse_loss(F.linear(projected, self.weight, self.bias), precise(z_t.detach())),
        }


class SRRL(Distiller):
    """SRRL on the pooled embeddings.

    Weights 1, 1, 1 are those of SimKD's benchmark; the paper's own runs are on ImageNet and without KD.
    """

    label = "SRRL"
    formula = "|u - e_t|^2 + |cls_t(u) - z_t|^2, means; u = ReLU(BN(W e_s))"
    weights = LossWeights(1.0, 1.0, 1.0)

    def __init__(self, example: Example):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for srrl, whose batch norm sees one value per image: use at "
                "least 2"
            )
        classifier = getattr(example.teacher_network, "classifier", None)
        if not isinstance(classifier, nn.Linear):
            raise UserError(
                f"srrl needs a teacher with one linear classifier, and {example.teacher_model} has none: "
                "choose a teacher of models/, or another method"
            )
        self.loss = SRRLLoss(example.student.embedding.shape[1], classifier)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        return self.loss(student.embedding, teacher.embedding, teacher.logits)
