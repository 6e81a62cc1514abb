"""Offline methods on maps, as their formulas are written.

Each function is one method in the order of operations of its published code, float32 throughout: all that
the formula names is made. It takes what the method of that name takes, and the method itself, whose layers,
buffers and settings it uses, and returns its loss; the teacher's Output asks for no gradient.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from distiller_zoo.base import Distiller
from helper.batch import Batch, Output


def of_one_height(f_s: Tensor, f_t: Tensor) -> tuple[Tensor, Tensor]:
    """Two square maps (B, C, H, H), the larger one averaged down to the other's height."""
    height_s, height_t = f_s.shape[2], f_t.shape[2]
    if height_s > height_t:
        f_s = F.adaptive_avg_pool2d(f_s, (height_t, height_t))
    elif height_s < height_t:
        f_t = F.adaptive_avg_pool2d(f_t, (height_s, height_s))
    return f_s, f_t


def fitnet(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """FitNet on the maps (B, C, H, W) of one stage. Romero et al., 2015."""
    return F.mse_loss(method.regressor(student.maps[method.place]), teacher.maps[method.place])


def at(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """AT on all maps (B, C, H, W). Zagoruyko, Komodakis, 2017."""
    losses = []
    for f_s, f_t in zip(student.maps, teacher.maps, strict=False):
        attention_s, attention_t = (attention(f, method.loss.p) for f in of_one_height(f_s, f_t))
        losses.append((attention_s - attention_t).pow(2).mean())
    return sum(losses)


def attention(f: Tensor, power: int) -> Tensor:
    """Unit vectors (B, H * W) of the mean over channels of a map's (B, C, H, W) powers."""
    return F.normalize(f.pow(power).mean(dim=1).reshape(len(f), -1))


def vid(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """VID on all maps (B, C, H, W). Ahn et al., 2019."""
    losses = []
    for loss, f_s, f_t in zip(method.losses, student.maps, teacher.maps, strict=False):
        f_s, target = of_one_height(f_s, f_t)
        mean = loss.regressor(f_s)
        variance = torch.log(1.0 + torch.exp(loss.log_scale)) + loss.eps
        variance = variance.reshape(1, -1, 1, 1)
        likelihood = 0.5 * ((mean - target) ** 2 / variance + torch.log(variance))
        losses.append(torch.mean(likelihood))
    return sum(losses)


def nst(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """NST on all maps (B, C, H, W) and (B, C', H, W): products (B, C, C', H * W). Huang, Wang, 2017."""
    losses = []
    for f_s, f_t in zip(student.maps, teacher.maps, strict=False):
        own, theirs = (F.normalize(f.flatten(2), dim=2) for f in of_one_height(f_s, f_t))
        between = polynomial_kernel(theirs, theirs).mean() + polynomial_kernel(own, own).mean()
        losses.append(between - 2 * polynomial_kernel(own, theirs).mean())
    return sum(losses)


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Squared inner products (B, C, C') of vectors (B, C, N) and (B, C', N), summed after multiplying."""
    return (x.unsqueeze(2) * y.unsqueeze(1)).sum(dim=-1).pow(2)


def fsp(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """FSP's first stage, on the stem's map and all others (B, C, H, W). Yim et al., 2017."""
    flows_s = flows([student.stem, *student.maps])
    flows_t = flows([teacher.stem, *teacher.maps])
    return sum((own - theirs).pow(2).mean() for own, theirs in zip(flows_s, flows_t, strict=True))


def flows(maps: list[Tensor]) -> list[Tensor]:
    """Means (B, C_l+1, C_l) of the products (B, C_l+1, C_l, H * W) of neighbouring maps' channels."""
    found = []
    for bottom, top in pairwise(maps):
        bottom, top = of_one_height(bottom, top)
        found.append((top.flatten(2).unsqueeze(2) * bottom.flatten(2).unsqueeze(1)).mean(dim=-1))
    return found


def kdsvd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """KDSVD on all maps (B, C, H, W), by a singular value decomposition. Lee et al., 2018.

    One departure from the published code, without which its value has no meaning: the teacher's vectors are
    turned so that their elements sum to a number that isn't negative.
    """
    k, levels = method.loss.k, []
    for f_s, f_t in zip(student.maps, teacher.maps, strict=False):
        values, v_t = singular(method.loss.matrix(f_t), k)
        v_t = torch.where(v_t.sum(dim=1, keepdim=True) < 0, -v_t, v_t)
        weight = F.normalize(values, dim=1).unsqueeze(1)
        _, v_s = singular(method.loss.matrix(f_s), k + 3)
        agreement = torch.matmul(v_s.transpose(1, 2), v_t)
        nearest = agreement.abs() == agreement.abs().max(dim=1, keepdim=True).values
        aligned = torch.matmul(v_s, torch.where(nearest, agreement.sign(), 0.0).detach())
        levels.append((aligned * weight, v_t * weight))
    losses = []
    for (lower_s, lower_t), (upper_s, upper_t) in pairwise(levels):
        relation_s, relation_t = (
            torch.exp(-(upper.unsqueeze(2) - lower.unsqueeze(1)).pow(2) / 8)
            for upper, lower in ((upper_s, lower_s), (upper_t, lower_t))
        )
        difference = finite((relation_s - relation_t).pow(2))
        losses.append(difference.sum() / len(difference))
    return sum(losses)


def singular(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first singular values (B, count) and right vectors (B, N, count) of matrices (B, R, N)."""
    _, values, transposed = torch.linalg.svd(x, full_matrices=False)
    vectors = finite(transposed.transpose(1, 2)[:, :, :count])
    return finite(values[:, :count]), F.normalize(vectors, dim=1)


def finite(x: Tensor) -> Tensor:
    """The tensor with 0 for what isn't finite."""
    return torch.where(torch.isfinite(x), x, 0.0)


def ab(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """AB's first stage, on all maps before the ReLU (B, C, H, W). Heo et al., 2019."""
    margin, last, losses = method.loss.margin, len(method.connectors) - 1, []
    for i, connector in enumerate(method.connectors):
        s, t = connector(student.preact[i]), teacher.preact[i]
        inactive = (s + margin).pow(2) * ((s > -margin) & (t <= 0)).float()
        active = (s - margin).pow(2) * ((s <= margin) & (t > 0)).float()
        losses.append((inactive + active).sum() / len(s) * 2.0 ** (i - last) * 3 / 1000)
    return sum(losses)


def ft(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """FT's second stage, on the last maps (B, C, H, W). Kim et al., 2018.

    As published, gradients reach the paraphraser too, although nothing is trained with them.
    """
    factors = method.translator(student.maps[-1]), method.paraphraser.encoder(teacher.maps[-1])
    own, theirs = (attention(f, method.loss.p1) for f in of_one_height(*factors))
    if method.loss.p2 == 1:
        return (own - theirs).abs().mean()
    return (own - theirs).pow(method.loss.p2).mean()


def ofd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """OFD on the deepest maps before the ReLU (B, C, H, W). Heo et al., 2019."""
    connectors, losses = method.loss.connectors, []
    maps_s, maps_t = student.preact[-method.levels :], teacher.preact[-method.levels :]
    for i, (f_s, f_t) in enumerate(zip(maps_s, maps_t, strict=True)):
        value = connectors[i](f_s)
        target = F.adaptive_avg_pool2d(f_t, tuple(value.shape[2:]))
        target = torch.max(target, method.loss.get_buffer(f"margin{i}"))
        square = F.mse_loss(value, target, reduction="none")
        square = square * ((value > target) | (target > 0)).float()
        losses.append(square.mean(dim=0).sum() / 2 ** (len(connectors) - 1 - i))
    return sum(losses)


def simkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """SimKD on the projected last map and the teacher's (B, C, H, W). D. Chen et al., 2022."""
    return F.mse_loss(*of_one_height(student.maps[-1], method.last_map(teacher)))


def reviewkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """ReviewKD on embeddings (B, D) and all maps (B, C, H, W), deepest first. P. Chen et al., 2021."""
    maps_s = [student.embedding[:, :, None, None], *student.maps[::-1]]
    maps_t = [teacher.embedding[:, :, None, None], *teacher.preact[::-1]]
    losses, passed = [], None
    for block, f_s, f_t in zip(method.loss.blocks, maps_s, maps_t, strict=False):
        value, passed = block(f_s, passed, f_t.shape[2:])
        losses.append(hierarchical_context(value, f_t))
    return sum(losses)


def hierarchical_context(f_s: Tensor, f_t: Tensor) -> Tensor:
    """The weighted mean of the errors of maps (B, C, H, W) and of their averages over fewer places."""
    loss, weight, total = F.mse_loss(f_s, f_t, reduction="mean"), 1.0, 1.0
    for size in (4, 2, 1):
        if size >= f_s.shape[2]:
            continue
        weight, own = weight / 2.0, F.adaptive_avg_pool2d(f_s, (size, size))
        theirs = F.adaptive_avg_pool2d(f_t, (size, size))
        loss = loss + weight * F.mse_loss(own, theirs, reduction="mean")
        total += weight
    return loss / total


def ickd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """ICKD-C on the last maps (B, C, H, W). Liu et al., 2021."""
    projected = method.loss.norm(method.loss.conv(student.maps[-1]))
    own, theirs = (f.flatten(2) for f in (projected, teacher.maps[-1]))
    own = F.normalize(torch.bmm(own, own.transpose(1, 2)), dim=2)
    theirs = F.normalize(torch.bmm(theirs, theirs.transpose(1, 2)), dim=2)
    return (own - theirs).pow(2).sum() / own.shape[1] / len(own)


def norm(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """NORM on the expanded last map (B, N C, H, W), against N copies of the teacher's. Liu et al., 2023."""
    expanded, target = student.maps[-1], teacher.maps[-1]
    if target.shape[2] > expanded.shape[2]:
        target = F.max_pool2d(target, target.shape[2] // expanded.shape[2])
    copies = expanded.shape[1] // target.shape[1]
    return method.factor * copies * F.mse_loss(expanded, target.repeat(1, copies, 1, 1))
