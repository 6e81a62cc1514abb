"""Feature knowledge of neighbouring stages: how the principal directions of their maps relate."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise, unit
from helper.arguments import positive_int
from helper.batch import Batch, Output
from helper.errors import UserError

FURTHER_DIRECTIONS = 3  # of the student's, from which those nearest to the teacher's are chosen
BANDWIDTH = 8.0
SMALLEST_GAP = 1e-7  # between two squared singular values, over the largest; what is less may be rounding


class KDSVDLoss(nn.Module):
    """Squared difference of the relations between the principal directions of neighbouring maps.

    A map's directions are its first k right singular vectors v, of positions by channels. The student's are
    those of its first k + 3 that are nearest to the teacher's, turned to the same side. Both are multiplied
    by the teacher's singular values (as a unit vector over k), and exp(-(v - v')^2 / 8) over all elements of
    one map's v and the next one's v' is compared. Sum over elements, mean over the batch, sum over
    neighbours. Lee, Kim, Song: "Self-supervised Knowledge Distillation Using Singular Value Decomposition",
    ECCV 2018, section 3. https://arxiv.org/abs/1807.06819

    Published code: a singular vector has no sign of its own, but the relation of two maps depends on both
    signs. There they are whatever the library returns, which differs between maps with more and with fewer
    positions than channels. Here each of the teacher's vectors is turned so that its elements sum to a number
    that isn't negative. A map of zeros or of rank one has finite gradients here and NaN there; of directions
    that are equally near only one counts here and all there. RepDistiller's code mixes images where maps are
    not square. The authors' own halves the squares, multiplies them by the root of k, turns the teacher's
    vectors to the student's side and has a gradient of its own.

    k: number of directions; over: 'channels', so that both networks need the same channels in a map, or
    'width', mdistiller's variant of channels and rows by columns, so that they need the same width.

    >>> f_s = [torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4)]
    >>> KDSVDLoss()(f_s, [torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4)]) > 0
    tensor(True)
    """

    def __init__(self, k: int = 1, over: str = "channels"):
        super().__init__()
        if over not in ("channels", "width"):
            raise ValueError(f"over is {over!r}: allowed are 'channels' and 'width'")
        self.k, self.over = k, over

    def forward(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> Tensor:
        """Loss of the student's maps [(B, C, H, W)] against the teacher's, at least two of each.

        Maps without a partner are left out.
        """
        return torch.stack(self.pairs(f_s, f_t)).sum()

    def pairs(self, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> list[Tensor]:
        """The loss of each pair of neighbouring maps."""
        levels = [self.directions(s, t.detach()) for s, t in zip(f_s, f_t, strict=False)]
        found = []
        for (lower_s, lower_t), (upper_s, upper_t) in pairwise(levels):
            difference = relation(upper_s, lower_s) - relation(upper_t, lower_t)
            found.append(difference.square().sum() / len(difference))
        return found

    def directions(self, f_s: Tensor, f_t: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted directions (B, N, k) of both networks' maps of N channels or columns."""
        with torch.no_grad():
            values, v_t = right_singular_vectors(self.matrix(f_t), self.k)
            v_t = torch.where(v_t.sum(dim=1, keepdim=True) < 0, -v_t, v_t)
            weight = unit(values)[:, None, :]
        _, candidates = right_singular_vectors(self.matrix(f_s), self.k + FURTHER_DIRECTIONS)
        with torch.no_grad():
            agreement = candidates.transpose(1, 2) @ v_t
            nearest = agreement.abs().argmax(dim=1, keepdim=True)
            side = torch.where(agreement.gather(1, nearest) < 0, -1.0, 1.0)
        v_s = candidates.gather(2, nearest.expand(-1, candidates.shape[1], -1)) * side
        return v_s * weight, v_t * weight

    def matrix(self, f: Tensor) -> Tensor:
        """A map (B, C, H, W) as matrices (B, rows, columns), whose columns are compared."""
        f = precise(f)
        return f.flatten(2).transpose(1, 2) if self.over == "channels" else f.flatten(1, 2)


def relation(upper: Tensor, lower: Tensor) -> Tensor:
    """Similarity (B, N, N', k) of every element of directions (B, N, k) with every one of (B, N', k)."""
    return torch.exp((upper[:, :, None] - lower[:, None]).square() / -BANDWIDTH)


def right_singular_vectors(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest singular values (B, m) of matrices (B, R, N), descending, without gradient, and their right
    singular vectors (B, N, m), m being count, R or N, whichever is smallest.

    They are eigenvectors of the smaller of x x' and x'x, in float64: a product squares the ratio of the
    singular values, and fp32 would lose the second of a map after its ReLU, whose first is far larger.
    """
    dtype, x = x.dtype, x.double()
    tall = x.shape[1] >= x.shape[2]
    count = min(count, *x.shape[1:])
    product = x.transpose(1, 2) @ x if tall else x @ x.transpose(1, 2)
    squares, vectors = TopEigenvectors.apply(product, count)
    if not tall:
        vectors = x.transpose(1, 2) @ vectors
        # What belongs to a singular value of nothing but rounding has no direction that could be learned.
        own = squares > SMALLEST_GAP * squares[:, :1]
        vectors = torch.where(own[:, None], vectors, vectors.detach())
        lengths = vectors.square().sum(dim=1, keepdim=True)
        vectors = vectors / torch.where(lengths > 0, lengths, 1.0).sqrt()
    return squares.sqrt().to(dtype), vectors.to(dtype)


class TopEigenvectors(torch.autograd.Function):
    """Eigenvectors of the largest eigenvalues of symmetric matrices (B, N, N), with a gradient that stays
    finite.

    Turning one eigenvector towards another has a derivative of one over the difference of their eigenvalues.
    Where that is nothing but rounding the two have no directions of their own, and no gradient between them.
    """

    @staticmethod
    def forward(ctx, matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        ctx.save_for_backward(values, vectors)
        top = values[:, -count:].flip(1).clamp(min=0.0)
        ctx.mark_non_differentiable(top)
        return top, vectors[:, :, -count:].flip(2)

    @staticmethod
    def backward(ctx, _, gradient: Tensor) -> tuple[Tensor, None]:
        values, vectors = ctx.saved_tensors
        count = gradient.shape[2]
        top, top_vectors = values[:, -count:].flip(1), vectors[:, :, -count:].flip(2)
        gaps = top[:, None, :] - values[:, :, None]
        smallest = SMALLEST_GAP * values[:, -1:, None].abs()
        apart = gaps.abs() > smallest
        turned = vectors.transpose(1, 2) @ gradient
        turned = torch.where(apart, turned / torch.where(apart, gaps, 1.0), 0.0)
        return vectors @ turned @ top_vectors.transpose(1, 2), None


class KDSVD(Distiller):
    """KDSVD between neighbouring stage maps of student and teacher.

    An eigendecomposition makes the device wait for its result, once per map and network and step.
    """

    label = "KDSVD"
    formula = (
        "sum over neighbouring stages |R_s - R_t|^2 / B; R = exp(-(v_l,i - v_l-1,j)^2 / 8), v the first "
        "right singular vector"
    )
    weights = LossWeights(1.0, 0.0, 1.0)

    def __init__(
        self,
        example: Example,
        *,
        kdsvd_k: Annotated[int, positive_int, "KDSVD: principal directions of each map"] = 1,
        kdsvd_over: Annotated[
            str, ("channels", "width"), "KDSVD: what the directions run over, as published or in mdistiller"
        ] = "channels",
    ):
        super().__init__(example)
        self.loss = KDSVDLoss(kdsvd_k, kdsvd_over)
        pairs = list(zip(example.student.maps, example.teacher.maps, strict=False))
        if len(pairs) < 2:
            raise UserError(
                "kdsvd compares neighbouring stages and needs two stage maps of each network, not 1"
            )
        for number, (s, t) in enumerate(pairs, start=1):
            shape_s, shape_t = self.loss.matrix(s).shape, self.loss.matrix(t).shape
            if shape_s[2] != shape_t[2]:
                other = "width" if kdsvd_over == "channels" else "channels"
                raise UserError(
                    f"kdsvd needs the same {kdsvd_over} in both networks, but stage {number} has "
                    f"{shape_s[2]} in {example.student_model} and {shape_t[2]} in "
                    f"{example.teacher_model}: choose another pair or --kdsvd_over {other}"
                )
            most = min(*shape_s[1:], *shape_t[1:])
            if kdsvd_k > most:
                raise UserError(
                    f"--kdsvd_k {kdsvd_k} is too large: stage {number} has {most} principal "
                    "directions; at most that many are allowed"
                )

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        return self.loss(student.maps, teacher.maps)
