"""The losses of the literal step, in the algebra in which their authors published them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-7


def knowledge_distillation(logits_s: Tensor, logits_t: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(z_t/T) || softmax(z_s/T)), batch mean. Hinton et al., 2015."""
    log_student = F.log_softmax(logits_s / temperature, dim=1)
    teacher = F.softmax(logits_t / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, teacher, reduction="batchmean")


def unit_vectors(x: Tensor) -> Tensor:
    """Each row over its length."""
    return x / x.pow(2).sum(dim=1, keepdim=True).pow(0.5)


class Contrast(nn.Module):
    """CRD with two banks of vectors, from which all positives and negatives are gathered.

    Tian et al., "Contrastive Representation Distillation", 2020. The heads' parameters train with the
    student.
    """

    def __init__(
        self,
        size_s: int,
        size_t: int,
        n_data: int,
        negatives: int,
        dim: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ):
        super().__init__()
        self.n_data, self.negatives, self.dim = n_data, negatives, dim
        self.temperature, self.momentum = temperature, momentum
        self.head_s, self.head_t = nn.Linear(size_s, dim), nn.Linear(size_t, dim)
        bound = 1.0 / math.sqrt(dim / 3)
        self.register_buffer("bank_s", torch.rand(n_data, dim) * 2 * bound - bound)
        self.register_buffer("bank_t", torch.rand(n_data, dim) * 2 * bound - bound)
        self.register_buffer("normalisers", torch.full((2,), -1.0))

    def forward(self, f_s: Tensor, f_t: Tensor, indices: Tensor, contrast: Tensor) -> Tensor:
        """Scalar loss of both directions; contrast: (B, K + 1) rows of the banks."""
        v_s, v_t = unit_vectors(self.head_s(f_s)), unit_vectors(self.head_t(f_t))
        return self.contrast(v_s, v_t, indices, contrast)

    def contrast(self, v_s: Tensor, v_t: Tensor, indices: Tensor, contrast: Tensor) -> Tensor:
        """The same for embeddings (B, dim)."""
        scores_t = self.scores(self.bank_s, v_t, contrast)
        scores_s = self.scores(self.bank_t, v_s, contrast)
        scores_s, scores_t = self.normalise(scores_s, 0), self.normalise(scores_t, 1)
        self.update(self.bank_s, v_s, indices)
        self.update(self.bank_t, v_t, indices)
        return self.loss(scores_s) + self.loss(scores_t)

    def scores(self, bank: Tensor, anchors: Tensor, contrast: Tensor) -> Tensor:
        """exp(v . u / T), (B, K + 1, 1), with every vector u copied out of the bank."""
        vectors = torch.index_select(bank, 0, contrast.view(-1)).detach()
        vectors = vectors.view(len(anchors), self.negatives + 1, self.dim)
        return torch.exp(torch.bmm(vectors, anchors.view(-1, self.dim, 1)) / self.temperature)

    def normalise(self, scores: Tensor, direction: int) -> Tensor:
        """Scores over Z, which the first batch fixes; Z is read at every step, as published."""
        normaliser = self.normalisers[direction].item()
        if normaliser < 0:
            self.normalisers[direction] = scores.mean() * self.n_data
            normaliser = self.normalisers[direction].clone().detach().item()
        return torch.div(scores, normaliser).contiguous()

    def loss(self, scores: Tensor) -> Tensor:
        """The noise-contrastive loss of one direction."""
        noise = self.negatives / self.n_data
        positive = scores.select(1, 0)
        log_positive = torch.div(positive, positive.add(noise + EPSILON)).log_()
        negative = scores.narrow(1, 1, self.negatives)
        log_negative = torch.div(negative.clone().fill_(noise), negative.add(noise + EPSILON)).log_()
        return -(log_positive.sum() + log_negative.sum()) / len(scores)

    @torch.no_grad()
    def update(self, bank: Tensor, vectors: Tensor, indices: Tensor) -> None:
        """Rows of the batch become the unit vectors of the mean of old and new."""
        rows = torch.index_select(bank, 0, indices.view(-1))
        rows = rows.mul_(self.momentum).add_(vectors * (1 - self.momentum))
        bank.index_copy_(0, indices, unit_vectors(rows))


class Embedding(nn.Module):
    """Two linear layers with a ReLU between, to a unit vector."""

    def __init__(self, size_in: int, size_out: int):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(size_in, 2 * size_out), nn.Linear(2 * size_out, size_out)

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (B, size_out)."""
        return unit_vectors(self.linear2(F.relu(self.linear1(x), inplace=True)))


def regressor(channels_in: int, channels_out: int) -> nn.Sequential:
    """1x1, BN, ReLU, 3x3, BN, ReLU, 1x1: a student's map in the teacher's channels."""
    wide = 2 * channels_out
    return nn.Sequential(
        nn.Conv2d(channels_in, wide, 1, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, wide, 3, padding=1, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, channels_out, 1, bias=False),
    )


class CrossLayerAttention(nn.Module):
    """SemCKD: every map of the student against every map of the teacher, weighted by attention.

    Chen et al., "Cross-Layer Distillation with Semantic Calibration", 2021. maps: examples of both networks'
    maps.
    """

    def __init__(self, maps_s: list[Tensor], maps_t: list[Tensor], batch_size: int):
        super().__init__()
        self.queries = nn.ModuleList(Embedding(batch_size, batch_size // 4) for _ in maps_s)
        self.keys = nn.ModuleList(Embedding(batch_size, batch_size // 4) for _ in maps_t)
        self.regressors = nn.ModuleList(
            nn.ModuleList(regressor(s.shape[1], t.shape[1]) for t in maps_t) for s in maps_s
        )

    def forward(self, maps_s: list[Tensor], maps_t: list[Tensor]) -> Tensor:
        """Scalar loss."""
        attention = self.attention(maps_s, maps_t)
        errors = torch.zeros_like(attention)
        for i, map_s in enumerate(maps_s):
            for j, map_t in enumerate(maps_t):
                value, target = self.align(i, j, map_s, map_t)
                error = F.mse_loss(value, target, reduction="none")
                errors[:, i, j] = error.reshape(len(error), -1).mean(-1)
        return (attention * errors).sum() / (attention.shape[0] * attention.shape[1])

    def attention(self, maps_s: list[Tensor], maps_t: list[Tensor]) -> Tensor:
        """Weights (B, student layers, teacher layers)."""
        queries, keys = [], []
        for embed, feature in zip(self.queries, maps_s, strict=True):
            flat = feature.reshape(len(feature), -1)
            queries.append(embed(torch.matmul(flat, flat.t()))[:, None, :])
        for embed, feature in zip(self.keys, maps_t, strict=True):
            flat = feature.reshape(len(feature), -1)
            keys.append(embed(torch.matmul(flat, flat.t()))[:, :, None])
        return F.softmax(torch.bmm(torch.cat(queries, 1), torch.cat(keys, 2)), dim=-1)

    def align(self, i: int, j: int, map_s: Tensor, map_t: Tensor) -> tuple[Tensor, Tensor]:
        """The student's map in the teacher's channels, and the teacher's map, both of the smaller size."""
        size_s, size_t = map_s.shape[2], map_t.shape[2]
        if size_s > size_t:
            return self.regressors[i][j](F.adaptive_avg_pool2d(map_s, (size_t, size_t))), map_t
        return self.regressors[i][j](map_s), F.adaptive_avg_pool2d(map_t, (size_s, size_s))
