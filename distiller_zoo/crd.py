"""Relation knowledge: contrast of each image's embedding with those of all others."""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crd.bank import Bank
from crd.contrast import Contrast, negative_scores, positive_scores
from crd.negatives import NegativeSampler, SameClassSampler, largest_count
from distiller_zoo.base import Distiller, Example
from helper.arguments import fraction, positive_float, positive_int
from helper.batch import Batch, Output
from helper.precision import full_precision
from helper.randomness import derive_seed

PUBLISHED_NEGATIVES = 16384


class Head(nn.Module):
    """A linear layer to unit vectors."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.linear = nn.Linear(dim_in, dim_out)

    def forward(self, features: Tensor) -> Tensor:
        """Unit vectors (B, dim_out) of features (B, dim_in)."""
        return F.normalize(self.linear(features.float().flatten(1)), dim=1)


class CRDLoss(nn.Module):
    """Both directions of CRD's contrast, and the banks that they need.

    The student's embeddings are scored against the bank of the teacher's, the teacher's against the student's; after the
    loss the rows of the batch are updated. Z of each direction is set once, at the first batch, to
    mean(exp(score/T)) * n_data. Tian, Krishnan, Isola: "Contrastive Representation Distillation", 2020.

    s_dim, t_dim: sizes of the networks' embeddings; feat_dim: of the vectors in the banks; nce_k: negatives per image;
    nce_t: temperature; nce_m: momentum of the banks; low_precision: products with the banks in bfloat16 (None: as
    autocast says).
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

    def forward(
        self,
        f_s: Tensor,
        f_t: Tensor,
        indices: Tensor,
        positives: Tensor,
        negatives: Tensor,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Scalar loss of embeddings f_s (B, s_dim) and f_t (B, t_dim) of the images with these indices (B,).

        positives: (B,) rows of the banks that should agree; negatives: (B, W) rows that should not; kept: mask (B, W)
        with K true in each row, None if W is K.
        """
        low = self.low_precision
        if low is None:
            low = torch.is_autocast_enabled(f_s.device.type)
        with full_precision(f_s.device.type):
            v_s, v_t = self.head_s(f_s), self.head_t(f_t)
            loss_s = self._direction(v_s, self.bank_t, self.z_s, low, positives, negatives, kept)
            loss_t = self._direction(v_t, self.bank_s, self.z_t, low, positives, negatives, kept)
            self.bank_s.update(indices, v_s.detach())
            self.bank_t.update(indices, v_t.detach())
            self._started = True
            return loss_s + loss_t

    def _direction(
        self,
        anchors: Tensor,
        bank: Bank,
        normaliser: Tensor,
        low_precision: bool,
        positives: Tensor,
        negatives: Tensor,
        kept: Tensor | None,
    ) -> Tensor:
        rows = bank.for_products(low_precision)
        with torch.no_grad():
            positive = positive_scores(anchors, bank.vectors, positives)
            scores = negative_scores(anchors, rows, negatives)
            self._set_once(normaliser, positive, scores, kept)
        return Contrast.apply(
            anchors,
            positive,
            scores,
            bank.vectors,
            rows,
            positives,
            negatives,
            kept,
            normaliser,
            self.nce_t,
            self.nce_k / self.n_data,
        )

    def _set_once(self, normaliser: Tensor, positive: Tensor, scores: Tensor, kept: Tensor | None) -> None:
        if self._started:
            return
        exponentials = torch.exp(scores / self.nce_t)
        if kept is not None:
            exponentials = exponentials * kept
        mean = (torch.exp(positive / self.nce_t).sum() + exponentials.sum()) / (
            len(positive) * (self.nce_k + 1)
        )
        normaliser.copy_(mean * self.n_data)


class CRD(Distiller):
    """CRD on the pooled embeddings, with negatives drawn from other classes on the device.

    The positive is the image itself (`--crd_mode exact`), or a random image of its class (`relax`).
    """

    weight = 0.8
    multiplier = 1.0

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        parser.add_argument(
            "--nce_k",
            type=positive_int,
            metavar="K",
            help=f"CRD: negatives per image (default {PUBLISHED_NEGATIVES}, or all images of other classes if fewer)",
        )
        parser.add_argument(
            "--nce_t", type=positive_float, default=0.07, help="CRD: temperature (default 0.07)"
        )
        parser.add_argument(
            "--nce_m", type=fraction, default=0.5, help="CRD: momentum of the banks (default 0.5)"
        )
        parser.add_argument(
            "--feat_dim", type=positive_int, default=128, help="CRD: size of the embeddings (default 128)"
        )
        parser.add_argument(
            "--crd_mode",
            choices=("exact", "relax"),
            default="exact",
            help="CRD: which positive (default exact)",
        )

    def __init__(self, example: Example, args: argparse.Namespace):
        super().__init__(example, args)
        labels = example.labels
        count = args.nce_k or min(PUBLISHED_NEGATIVES, largest_count(labels))
        self.negatives = NegativeSampler(labels, count)
        self.same_class = SameClassSampler(labels) if args.crd_mode == "relax" else None
        self.loss = CRDLoss(
            example.student.features[-1].shape[1],
            example.teacher.features[-1].shape[1],
            len(labels),
            feat_dim=args.feat_dim,
            nce_k=count,
            nce_t=args.nce_t,
            nce_m=args.nce_m,
            seed=example.seed,
        ).to(labels.device)

    def generators(self) -> list[torch.Generator]:
        return [self.negatives.generator] + ([self.same_class.generator] if self.same_class else [])

    def begin_epoch(self, seed: int) -> None:
        for k, stream in enumerate(self.generators()):
            stream.manual_seed(derive_seed(seed, k))

    def random_state(self) -> Tensor:
        return torch.stack([stream.get_state() for stream in self.generators()])

    def set_random_state(self, state: Tensor) -> None:
        for stream, own in zip(self.generators(), state, strict=True):
            stream.set_state(own)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        drawn, kept = self.negatives(batch.labels)
        positives = self.same_class(batch.labels) if self.same_class else batch.indices
        return self.loss(student.features[-1], teacher.features[-1], batch.indices, positives, drawn, kept)
