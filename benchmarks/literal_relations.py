"""Offline methods on logits, embeddings and relations between images, as their formulas are written.

Each function is one method in the order of operations of its published code, float32 throughout: all that
the formula names is made. It takes what the method of that name takes, and the method itself, whose layers,
buffers and settings it uses, and returns its loss; the teacher's Output asks for no gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.literal_losses import knowledge_distillation
from distiller_zoo.base import Distiller
from helper.batch import Batch, Output

SMALL = 1e-12


def kd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """KD on logits (B, C), which the method may standardise. Hinton et al., 2015; Sun et al., 2024."""
    z_s, z_t = student.logits, teacher.logits
    if method.loss.standardise:
        z_s, z_t = ((z - z.mean(1, keepdim=True)) / (1e-7 + z.std(1, keepdim=True)) for z in (z_s, z_t))
    return knowledge_distillation(z_s, z_t, method.loss.T)


def rkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """RKD on embeddings (B, D), whose differences (B, B, D) are made for the angles. Park et al., 2019."""
    own, theirs = student.embedding, teacher.embedding
    with torch.no_grad():
        distances_t = euclidean_distances(theirs)
        distances_t = distances_t / distances_t[distances_t > 0].mean()
        angles_t = angles(theirs)
    distances_s = euclidean_distances(own)
    distances_s = distances_s / distances_s[distances_s > 0].mean()
    distance = F.smooth_l1_loss(distances_s, distances_t)
    return method.loss.w_d * distance + method.loss.w_a * F.smooth_l1_loss(angles(own), angles_t)


def euclidean_distances(embeddings: Tensor) -> Tensor:
    """Distances (B, B) of embeddings (B, D), 0 between an image and itself."""
    return without_diagonal(squared_distances(embeddings).clamp(min=SMALL).sqrt())


def squared_distances(x: Tensor) -> Tensor:
    """|x|^2 + |y|^2 - 2 x.y, (B, B), of all rows (B, D)."""
    squares = x.pow(2).sum(dim=1)
    return squares.unsqueeze(1) + squares.unsqueeze(0) - 2 * torch.matmul(x, x.t())


def without_diagonal(x: Tensor) -> Tensor:
    """A copy of the matrix (B, B) with 0 on its diagonal."""
    copy, places = x.clone(), range(len(x))
    copy[places, places] = 0
    return copy


def angles(embeddings: Tensor) -> Tensor:
    """Cosines (B * B * B,) of the angle at each image between all others."""
    differences = embeddings.unsqueeze(0) - embeddings.unsqueeze(1)
    directions = F.normalize(differences, p=2, dim=2)
    return torch.bmm(directions, directions.transpose(1, 2)).reshape(-1)


def sp(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """SP on the last maps (B, C, H, W). Tung, Mori, 2019."""
    similarities = []
    for output in (student, teacher):
        flat = output.maps[-1].reshape(len(output.maps[-1]), -1)
        similarities.append(F.normalize(torch.mm(flat, flat.t())))
    difference = similarities[1] - similarities[0]
    return (difference * difference).reshape(-1).sum() / len(difference) ** 2


def cc(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """CC on embeddings (B, D). Peng et al., 2019."""
    own = method.loss.embed_s(student.embedding)
    theirs = method.loss.embed_t(teacher.embedding)
    delta = torch.abs(own - theirs)
    return torch.sum(delta[:-1] * delta[1:], dim=1).mean()


def pkt(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """PKT on embeddings (B, D). Passalis, Tefas, 2018."""
    eps = method.loss.eps
    shares = []
    for embedding in (student.embedding, teacher.embedding):
        directions = embedding / (embedding.pow(2).sum(dim=1, keepdim=True).sqrt() + eps)
        directions = torch.where(torch.isnan(directions), 0.0, directions)
        kernel = (torch.mm(directions, directions.t()) + 1) / 2
        shares.append(kernel / kernel.sum(dim=1, keepdim=True))
    q, p = shares
    return torch.mean(p * torch.log((p + eps) / (q + eps)))


def irg(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """IRG on embeddings (B, D), and on pairs of neighbouring maps if the method has any. Liu et al., 2019."""
    loss = method.loss
    own, theirs = student.embedding, teacher.embedding
    graph = (relative_squares(own) - relative_squares(theirs)).pow(2).mean()
    if own.shape == theirs.shape:
        graph = graph + (own - theirs).pow(2).mean()
    total = loss.w_graph * graph
    maps_s, maps_t = (output.maps[len(output.maps) - method.layers :] for output in (student, teacher))
    for i in range(0, method.layers, 2):
        pair_s, pair_t = maps_s[i : i + 2], maps_t[i : i + 2]
        if loss.edges:
            edges_s, edges_t = (
                (relative_squares(lower) - relative_squares(upper)).pow(2).mean()
                for lower, upper in (pair_s, pair_t)
            )
            total = total + loss.w_transform * (edges_s - edges_t).pow(2)
        if pair_s[0].shape == pair_s[1].shape and pair_t[0].shape == pair_t[1].shape:
            vertex_s, vertex_t = ((lower - upper).pow(2).mean() for lower, upper in (pair_s, pair_t))
            total = total + loss.w_transform * (vertex_s - vertex_t).pow(2)
    return total


def relative_squares(x: Tensor) -> Tensor:
    """Squared distances (B, B) of the images' values (B, ...), over the largest."""
    squares = without_diagonal(squared_distances(x.reshape(len(x), -1)).clamp(min=SMALL))
    return squares / (squares.max() + SMALL)


def hkd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """HKD on all maps (B, C, H, W). Passalis et al., 2020, in the form of SemCKD's code.

    In float32 the distance of an image to itself is rounding, as published, and no small part of the loss.
    """
    losses = []
    for f_s, f_t in zip(student.maps, teacher.maps, strict=False):
        own, theirs = f_s.reshape(len(f_s), -1), f_t.reshape(len(f_t), -1)
        cosine = jeffreys(cosine_kernel(theirs), cosine_kernel(own))
        losses.append(cosine + jeffreys(distance_kernel(theirs), distance_kernel(own)))
    return method.loss.init_weight * losses[0] + sum(losses[1:])


def cosine_kernel(x: Tensor) -> Tensor:
    """Half of one plus the cosine, (B, B), each row over its sum, of rows (B, D)."""
    directions = x / (x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-6)
    kernel = (torch.matmul(directions, directions.t()) + 1) / 2
    return kernel / kernel.sum(dim=1, keepdim=True)


def distance_kernel(x: Tensor) -> Tensor:
    """1 / (1 + distance), (B, B), each row over its sum, of rows (B, D)."""
    kernel = 1 / (1 + (squared_distances(x).clamp(min=0) + 1e-6).sqrt())
    return kernel / kernel.sum(dim=1, keepdim=True)


def jeffreys(p: Tensor, q: Tensor) -> Tensor:
    """Mean over all elements of (p - q)(log p - log q)."""
    return torch.mean((p - q) * (torch.log(p) - torch.log(q)))


def srrl(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """SRRL on embeddings (B, D) and the teacher's logits (B, C). Yang et al., 2021."""
    projected = method.loss.transfer(student.embedding)
    logits = F.linear(projected, method.loss.weight, method.loss.bias)
    return F.mse_loss(projected, teacher.embedding) + F.mse_loss(logits, teacher.logits)


def srd(method: Distiller, student: Output, teacher: Output, batch: Batch) -> Tensor:
    """SRD on embeddings (B, D), in either form. Miles, Mikolajczyk, 2024."""
    loss = method.loss
    u, v = (
        F.batch_norm(x, None, None, training=True, eps=loss.epsilon)
        for x in (loss.embed(student.embedding), teacher.embedding)
    )
    if loss.form == "correlation":
        correlations = torch.sum(u * v, dim=0) / len(u)
        return torch.log(1e-5 + torch.sum(torch.pow(torch.abs(correlations - 1), loss.power)))
    return torch.log(torch.sum(torch.pow(torch.abs(u - v), loss.power)))
