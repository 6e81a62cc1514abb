"""Relation knowledge: contrast of each image's embedding with those of all others."""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crd.bank import Bank
from crd.contrast import Attach, negative_losses, sums_of_exponentials
from crd.heads import Head
from crd.negatives import GivenNegatives, Negatives, NegativeSampler, SameClassSampler, most_negatives
from distiller_zoo.base import Distiller, Example, LossWeights
from helper.arguments import fraction, positive_float, positive_int
from helper.batch import Batch, Output
from helper.device import full_precision
from helper.errors import UserError
from helper.randomness import derive_seed

PUBLISHED_NEGATIVES = 16384
EPSILON = 1e-7
SMALLEST_TEMPERATURE = 0.0125  # exp(1/T) has to fit into float32


class CRDLoss(nn.Module):
    """Both directions of CRD's contrast, and the banks that they need.

    The student's embeddings are scored against the bank of the teacher's, the teacher's against the
    student's; after the loss the rows of the batch are updated. Z of each direction is set once, at the first
    batch, to mean(exp(score/T)) * n_data. Tian, Krishnan, Isola: "Contrastive Representation Distillation",
    ICLR 2020, equations 17 to 19. https://arxiv.org/abs/1910.10699

    s_dim, t_dim: sizes of the networks' embeddings; feat_dim: of the vectors in the banks; nce_k: negatives
    per image; nce_t: temperature; nce_m: momentum of the banks; seed: for what the banks start with;
    low_precision: products with the banks in bfloat16 (None: as the embeddings come). Raises UserError for a
    temperature whose exponentials overflow.

        >>> f_s, f_t, indices = torch.randn(8, 64), torch.randn(8, 128), torch.arange(8)
        >>> contrast_idx = torch.cat([indices[:, None], torch.randint(8, 500, (8, 100))], dim=1)
        >>> loss = CRDLoss(s_dim=64, t_dim=128, n_data=500, nce_k=100)
        >>> bool(loss(f_s, f_t, indices, contrast_idx) > 0)
        True
    """

    def __init__(
        self,
        s_dim: int,
        t_dim: int,
        n_data: int,
        feat_dim: int = 128,
        nce_k: int = PUBLISHED_NEGATIVES,
        nce_t: float = 0.07,
        nce_m: float = 0.5,
        seed: int = 0,
        low_precision: bool | None = None,
    ):
        super().__init__()
        if nce_t < SMALLEST_TEMPERATURE:
            raise UserError(f"--nce_t {nce_t:g} is too small: allowed are {SMALLEST_TEMPERATURE} and above")
        self.n_data, self.nce_k, self.nce_t = n_data, nce_k, nce_t
        self.low_precision = low_precision
        self.head_s, self.head_t = Head(s_dim, feat_dim), Head(t_dim, feat_dim)
        self.bank_s = Bank(n_data, feat_dim, nce_m, derive_seed(seed, "bank of the student"))
        self.bank_t = Bank(n_data, feat_dim, nce_m, derive_seed(seed, "bank of the teacher"))
        self.register_buffer("z_s", torch.zeros(()))
        self.register_buffer("z_t", torch.zeros(()))
        self._started = False
        self.register_load_state_dict_post_hook(lambda module, _: module._remember_start())

    def _remember_start(self) -> None:
        """Whether Z is set already, after loading: asked once, so that no step has to wait for the answer."""
        self._started = bool(self.z_s > 0)

    def forward(self, f_s: Tensor, f_t: Tensor, indices: Tensor, contrast_idx: Tensor) -> Tensor:
        """Scalar loss of embeddings f_s (B, s_dim) and f_t (B, t_dim) of the images with these indices (B,).

        contrast_idx: (B, K + 1) rows of the banks, the positive first; a row that comes twice counts twice.
        """
        return self.contrast(f_s, f_t, indices, contrast_idx[:, 0], GivenNegatives(contrast_idx[:, 1:]))

    def contrast(
        self, f_s: Tensor, f_t: Tensor, indices: Tensor, positives: Tensor, negatives: Negatives
    ) -> Tensor:
        """The same with positives (B,), rows of the banks that should agree, and negatives in any form."""
        if negatives.count != self.nce_k:
            raise ValueError(
                f"{negatives.count} negatives per image, but the loss was built for {self.nce_k}"
            )
        low = self.low_precision
        if low is None:
            low = f_s.dtype == torch.bfloat16 or torch.is_autocast_enabled(f_s.device.type)
        with full_precision(f_s.device.type):
            anchors = [self.head_s(f_s), self.head_t(f_t)]
            loss = self._loss(anchors, [self.bank_t, self.bank_s], positives, negatives, low)
            self.bank_s.update(indices, anchors[0].detach())
            self.bank_t.update(indices, anchors[1].detach())
            return loss

    def _loss(
        self, anchors: list[Tensor], banks: list[Bank], positives: Tensor, negatives: Negatives, low: bool
    ) -> Tensor:
        scores = [(v * bank.vectors[positives]).sum(1) for v, bank in zip(anchors, banks, strict=True)]
        noise = self.nce_k / self.n_data
        with torch.no_grad():
            fixed = [v.detach() for v in anchors]
            rows = [bank.rows(low) for bank in banks]
            if not self._started:
                self._set_normalisers(scores, sums_of_exponentials(fixed, rows, negatives, self.nce_t))
            thresholds = [z.log() + math.log(noise + EPSILON) for z in (self.z_s, self.z_t)]
            value, gradients = negative_losses(fixed, rows, negatives, thresholds, self.nce_t)
        zero = torch.zeros_like(value)
        total = Attach.apply(anchors[0], value, gradients[0]) + Attach.apply(anchors[1], zero, gradients[1])
        for score, threshold in zip(scores, thresholds, strict=True):
            total = total - F.logsigmoid(score / self.nce_t - threshold).sum()
        return total / len(positives) + 2 * self.nce_k * math.log1p(EPSILON / noise)

    def _set_normalisers(self, scores: list[Tensor], sums: list[Tensor]) -> None:
        """Set Z of both directions, unless they are set."""
        for z, score, total in zip((self.z_s, self.z_t), scores, sums, strict=True):
            mean = (torch.exp(score / self.nce_t).sum() + total) / (len(score) * (self.nce_k + 1))
            z.copy_(torch.where(z > 0, z, mean * self.n_data))
        self._started = True


class CRD(Distiller):
    """CRD on the pooled embeddings, with negatives drawn from other classes on the device.

    The positive is the image itself (`--crd_mode exact`), or a random image of its class (`relax`).
    """

    label = "CRD"
    formula = (
        "-log h(e_s, e_t) - sum over K negatives log(1 - h(e_s, n)), both ways; h = x / (x + K / N), x = "
        "exp(u.v / 0.07) / Z"
    )
    weights = LossWeights(1.0, 1.0, 0.8)
    multiplier = 1.0
    reads_labels = True

    def __init__(
        self,
        example: Example,
        *,
        nce_k: Annotated[
            int | None,
            positive_int,
            "negatives per image (default 16384, or all of other classes if fewer)",
            {"metavar": "K"},
        ] = None,
        nce_t: Annotated[float, positive_float, "temperature"] = 0.07,
        nce_m: Annotated[float, fraction, "momentum of the banks"] = 0.5,
        feat_dim: Annotated[int, positive_int, "size of the embeddings"] = 128,
        crd_mode: Annotated[str, ("exact", "relax"), "which positive"] = "exact",
    ):
        super().__init__(example)
        labels = example.labels
        count = nce_k or max(1, min(PUBLISHED_NEGATIVES, most_negatives(labels)))
        self.negatives = NegativeSampler(labels, count)
        self.same_class = SameClassSampler(labels) if crd_mode == "relax" else None
        self.loss = CRDLoss(
            example.student.embedding.shape[1],
            example.teacher.embedding.shape[1],
            len(labels),
            feat_dim=feat_dim,
            nce_k=count,
            nce_t=nce_t,
            nce_m=nce_m,
            seed=example.seed,
        ).to(labels.device)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        negatives = self.negatives(batch.labels, self.random)
        positives = self.same_class(batch.labels, self.random) if self.same_class else batch.indices
        return self.loss.contrast(student.embedding, teacher.embedding, batch.indices, positives, negatives)
