"""Response knowledge of order: which class is above which, and which image above which for a class."""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise, unit
from distiller_zoo.standardise import standardised
from helper.arguments import non_negative_float, positive_float
from helper.batch import Batch, Output
from helper.errors import UserError

MOST_DIFFERENCES = 1 << 26  # that are held at once; more are made block by block, and again for the gradient


class MRDLoss(nn.Module):
    """Cosine and Kendall's rank correlation of standardised logits, along classes and along images.

    similarity: 1 - the mean cosine of the rows, plus the same of the columns; kendall: 1 - the mean over rows
    and pairs of classes of 2 sigmoid(beta d_t d_s) - 1, d the difference of the pair's standardised logits,
    plus the same of the columns. "Monotonic Rank Distillation: Leveraging Kendall Correlation for Model
    Compression". https://github.com/ebolk/MonotonicRankDistillation

    Published code: it does not run, since names are used before they are imported and a vector of rows is
    added to one of columns; each is averaged here before they are added.

    beta: steepness of the smooth sign.

    >>> z = torch.randn(4, 10)
    >>> bool(MRDLoss()(z, z)["similarity"] < 1e-5)
    True
    """

    def __init__(self, beta: float = 0.5):
        super().__init__()
        self.beta = beta

    def forward(self, z_s: Tensor, z_t: Tensor) -> dict[str, Tensor]:
        """Both losses, 'similarity' and 'kendall', of logits z_s (B, C) against the teacher's z_t (B, C);
        B and C at least 2.
        """
        z_s, z_t = precise(z_s), precise(z_t.detach())
        sides = ((z_s, z_t), (z_s.T, z_t.T))
        return {
            "similarity": torch.stack([self.similarity(*side) for side in sides]).sum(),
            "kendall": torch.stack([self.kendall(*side) for side in sides]).sum(),
        }

    @staticmethod
    def similarity(z_s: Tensor, z_t: Tensor) -> Tensor:
        """1 - the mean cosine of the standardised rows, whose scale does not matter to it."""
        return 1.0 - (unit(centred(z_s)) * unit(centred(z_t))).sum(dim=1).mean()

    def kendall(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """1 - the smooth rank correlation of the rows, a mean over all pairs of two entries."""
        z_s, z_t = standardised(z_s), standardised(z_t)
        rows, entries = z_s.shape
        block = max(1, MOST_DIFFERENCES // (rows * entries))
        if block >= entries:
            total = self.agreement(differences(z_s), differences(z_t))
        else:
            how = {"use_reentrant": False, "preserve_rng_state": False}
            starts = range(0, entries, block)
            parts = [checkpoint(self.from_entries, z_s, z_t, start, block, **how) for start in starts]
            total = torch.stack(parts).sum()
        return 1.0 - total / (rows * entries * (entries - 1))

    def agreement(self, d_s: Tensor, d_t: Tensor) -> Tensor:
        """The sum over all pairs of 2 sigmoid(beta d_t d_s) - 1, d their differences."""
        return torch.tanh(self.beta / 2.0 * (d_s * d_t)).sum()

    def from_entries(self, z_s: Tensor, z_t: Tensor, start: int, count: int) -> Tensor:
        """The agreement of the pairs of `count` entries from `start` on with these and all later ones, both
        ways round.
        """
        own, later = (slice(start, start + count), slice(start + count, None))
        among = self.agreement(*(differences(z[:, own]) for z in (z_s, z_t)))
        further = self.agreement(*(z[:, own, None] - z[:, None, later] for z in (z_s, z_t)))
        return among + 2.0 * further


def centred(z: Tensor) -> Tensor:
    """Rows (N, M) with mean 0."""
    return z - z.mean(dim=1, keepdim=True)


def differences(z: Tensor) -> Tensor:
    """Differences (N, M, M) between all entries of each row of (N, M)."""
    return z[:, :, None] - z[:, None, :]


class MRD(Distiller):
    """MRD on the logits: `--mrd_similarity` times the one and `--mrd_kendall` times the other."""

    label = "MRD"
    formula = (
        "16 (1 - mean cos) + 32 (1 - mean (2 sigmoid(d_s d_t / 2) - 1)) of standardised logits, along rows "
        "and columns; d of pairs"
    )
    weights = LossWeights(1.0, 0.0, 1.0)
    free_scale = True

    def __init__(
        self,
        example: Example,
        *,
        mrd_similarity: Annotated[float, non_negative_float, "MRD: weight of the cosines"] = 16.0,
        mrd_kendall: Annotated[float, non_negative_float, "MRD: weight of the rank correlations"] = 32.0,
        mrd_beta: Annotated[float, positive_float, "MRD: steepness of the smooth sign"] = 0.5,
    ):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for mrd, which ranks the images of a batch: use at least 2"
            )
        self.factors = {"similarity": mrd_similarity, "kendall": mrd_kendall}
        self.loss = MRDLoss(mrd_beta)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> dict[str, Tensor]:
        terms = self.loss(student.logits, teacher.logits)
        return {name: factor * terms[name] for name, factor in self.factors.items()}
