"""Drawing negatives: for each image of a batch, K distinct images of other classes, on the device."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from helper.errors import UserError

WORD = 1 << 32
# what a block of scores holds at most, (rows x samples): on a CPU it should stay in the cache
BLOCK_SCORES = {"cpu": 1 << 19}
BLOCK_SCORES_ELSEWHERE = 1 << 25
# see DrawnNegatives.blocks
ROWS_PER_DRAWN = 64


class Block(NamedTuple):
    """Some rows of a bank against some samples of the batch.

    samples: which samples (A of them); rows: which rows of the bank (R of them), as a slice or as indices;
    weights: (R, A) float32, 1 where the row is a negative of the sample, else 0.
    """

    samples: slice
    rows: slice | Tensor
    weights: Tensor


class Negatives(Protocol):
    """The negatives of a batch: K rows of the bank per sample."""

    count: int

    def blocks(self) -> Iterator[Block]:
        """Blocks that cover every negative of every sample once."""


@dataclass(frozen=True)
class GivenNegatives:
    """Negatives by their indices (B, K) into the training set; an index that comes twice counts twice."""

    indices: Tensor

    @property
    def count(self) -> int:
        """K."""
        return self.indices.shape[1]

    def blocks(self) -> Iterator[Block]:
        """One block per sample."""
        ones = torch.ones(self.count, 1, device=self.indices.device)
        for i, rows in enumerate(self.indices):
            yield Block(slice(i, i + 1), rows, ones)


@dataclass(frozen=True)
class DrawnNegatives:
    """Negatives as a rule: image x is one of sample i's if (strides[i] * slots[x] + offsets[i]) mod p is
    below limits[i] and its class is not own[i]. The rule holds for exactly K images per sample.

    slots: (p,) int64, a permutation of 0..p-1 whose first n_data belong to the images; strides, offsets,
    limits, own: (B,) int64; classes: (n_data,) int32; places: (p,) int32, each slot as a fraction of 2^32.
    """

    count: int
    reach: int
    slots: Tensor
    strides: Tensor
    offsets: Tensor
    limits: Tensor
    own: Tensor
    classes: Tensor
    places: Tensor

    @property
    def prime(self) -> int:
        """Number of slots p."""
        return len(self.slots)

    def blocks(self) -> Iterator[Block]:
        """All rows of the bank against all samples, or the drawn rows alone for a bank so large that it pays.

        Measured on CPU cores (B = 64, K = 2048 and 16384): both take equally long when the bank has 58 to 66
        (float32) or 71 to 86 (bfloat16) rows per drawn one.
        """
        if len(self.classes) <= ROWS_PER_DRAWN * self.reach:
            yield from self.all_rows()
        else:
            yield from self.drawn_rows()

    def all_rows(self) -> Iterator[Block]:
        """Consecutive rows against all samples, with the rule worked out on the fly.

        It is worked out in 32-bit integers that wrap around, as slot/p * 2^32: exact for every stride that
        `NegativeSampler` draws, because |stride|/2 + 2 <= 2^31/p.
        """
        p, n_data = self.prime, len(self.classes)
        places = self.places[self.slots[:n_data]][:, None]
        strides = self.strides.int()
        middle = _fraction(self.offsets, p) + (WORD // 2) // p - WORD // 2
        offsets, limits = _wrapped(middle), _wrapped(_fraction(self.limits, p) - 1 - WORD // 2)
        classes, own = self.classes[:, None], self.own.int()
        scores = BLOCK_SCORES.get(self.classes.device.type, BLOCK_SCORES_ELSEWHERE)
        size = max(1, scores // len(strides))
        for start in range(0, n_data, size):
            rows = slice(start, start + size)
            weights = (places[rows] * strides).add_(offsets).le_(limits)
            weights.mul_((classes[rows] - own).ne_(0))
            yield Block(slice(None), rows, weights.float())

    def drawn_rows(self) -> Iterator[Block]:
        """The drawn rows of one sample after the other."""
        indices, kept = self.indices()
        for i, (rows, weights) in enumerate(zip(indices, kept, strict=True)):
            yield Block(slice(i, i + 1), rows, weights[:, None].float())

    def indices(self) -> tuple[Tensor, Tensor]:
        """Indices (B, W) into the training set and a mask (B, W) with K true in each row: W = K + the largest
        class + the slots that belong to no image.
        """
        p, n_data = self.prime, len(self.classes)
        images = torch.empty_like(self.slots)
        images[self.slots] = torch.arange(p, device=images.device)
        steps = torch.arange(self.reach, device=images.device)
        walk = (steps - self.offsets[:, None]) % p * _inverse(self.strides, p)[:, None] % p
        drawn = images[walk]
        indices = drawn.clamp(max=n_data - 1)
        others = self.classes[indices] != self.own[:, None]
        return indices, (drawn < n_data) & others & (steps < self.limits[:, None])


class NegativeSampler(nn.Module):
    """Draws, for each image of a batch, exactly K distinct images of other classes, every such set equally
    likely.

    A draw puts the images into p slots at random, p the next prime from n_data on. Sample i sorts the slots
    by (a_i * slot + b_i) mod p, with a stride a_i and an offset b_i of its own, and takes the first K images
    of other classes. Whatever a_i and b_i are, the images stand in that order at random, so that its
    negatives are a uniform K-subset of the other classes, without replacement. Strides and offsets are drawn
    independently: given the slots, the sets of two samples are independent, and the map being 2-universal
    (all strides 1..p-1 up to 92,678 images, the smaller ones beyond), their overlap has the mean and the
    variance of independent draws (nearly: a sample's own class is passed over). Nothing waits for the device
    and all shapes are static.

    labels: (n_data,) int64 of the training set; count: K. Raises UserError if a class leaves fewer other
    images.
    """

    def __init__(self, labels: Tensor, count: int):
        super().__init__()
        sizes = torch.bincount(labels)
        self.count, self.n_data, self.largest = count, len(labels), int(sizes.max())
        if self.largest == self.n_data:
            raise UserError(
                f"crd draws negatives from other classes, but all {self.n_data} training images are of one "
                "class: use a data set with two or more, or another method"
            )
        most = self.n_data - self.largest
        if not 1 <= count <= most:
            raise UserError(
                f"--nce_k {count} is more than there are: the largest class leaves {most} images of other "
                f"classes, so allowed are 1 to {most}"
            )
        self.prime = next_prime(self.n_data)
        self.stride_limit = min((self.prime - 1) // 2, WORD // self.prime - 4)
        slots = torch.arange(self.prime, device=labels.device)
        self.register_buffer("classes", labels.int(), persistent=False)
        self.register_buffer("members", _members(labels, sizes), persistent=False)
        self.register_buffer("places", _wrapped(_fraction(slots, self.prime)), persistent=False)

    def forward(self, labels: Tensor, generator: torch.Generator) -> DrawnNegatives:
        """The negatives of a batch with labels (B,), drawn from a generator on their device."""
        slots = self._permutation(generator)
        strides = self._integers(2 * self.stride_limit, labels, generator) - self.stride_limit
        strides = strides + (strides >= 0)
        offsets = self._integers(self.prime, labels, generator)
        return DrawnNegatives(
            self.count,
            self.count + self.largest + self.prime - self.n_data,
            slots,
            strides,
            offsets,
            self._limits(labels, slots, strides, offsets),
            labels,
            self.classes,
            self.places,
        )

    def _limits(self, labels: Tensor, slots: Tensor, strides: Tensor, offsets: Tensor) -> Tensor:
        """How many places of each sample's order hold its first K images of other classes.

        The sample's own class and the empty slots stand between them: one at place q, the l-th of its kind,
        has q - l images of other classes before it, and is passed over if these are fewer than K.
        """
        members = self.members[labels]
        own = (strides[:, None] * slots[members.clamp(min=0)] + offsets[:, None]) % self.prime
        own = torch.where(members < 0, self.prime, own)
        empty = (strides[:, None] * slots[self.n_data :] + offsets[:, None]) % self.prime
        passed = torch.cat([own, empty], dim=1).sort(dim=1).values
        before = passed - torch.arange(passed.shape[1], device=passed.device)
        return self.count + (before < self.count).sum(dim=1)

    def _permutation(self, generator: torch.Generator) -> Tensor:
        device = self.classes.device
        if device.type == "cuda":  # randperm may wait for the device, sorting does not
            return torch.rand(self.prime, dtype=torch.float64, device=device, generator=generator).argsort()
        return torch.randperm(self.prime, device=device, generator=generator)

    def _integers(self, limit: int, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randint(limit, like.shape, device=like.device, generator=generator)


class SameClassSampler(nn.Module):
    """Draws, for each image of a batch, a random image of the same class (itself among them).

    labels: (n_data,) int64 of the training set.
    """

    def __init__(self, labels: Tensor):
        super().__init__()
        sizes = torch.bincount(labels)
        self.register_buffer("by_class", labels.argsort(stable=True), persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)

    def forward(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Indices (B,) into the training set for labels (B,)."""
        share = torch.rand(labels.shape, dtype=torch.float64, device=labels.device, generator=generator)
        return self.by_class[self.starts[labels] + (share * self.sizes[labels]).long()]


def most_negatives(labels: Tensor) -> int:
    """How many images of other classes every image has at least."""
    return len(labels) - int(torch.bincount(labels).max())


def next_prime(start: int) -> int:
    """The smallest prime from `start` on, at least 11 so that there are strides to choose from."""
    candidate = max(start, 11)
    while any(candidate % divisor == 0 for divisor in range(2, math.isqrt(candidate) + 1)):
        candidate += 1
    return candidate


def _members(labels: Tensor, sizes: Tensor) -> Tensor:
    """Indices (classes, largest class) of each class's images, -1 where a class has no more."""
    order = labels.argsort(stable=True)
    position = torch.arange(len(labels), device=labels.device) - (sizes.cumsum(0) - sizes)[labels[order]]
    table = torch.full((len(sizes), int(sizes.max())), -1, device=labels.device)
    table[labels[order], position] = order
    return table


def _fraction(places: Tensor, prime: int) -> Tensor:
    """places/prime in units of 2^-32, rounded."""
    return (places * WORD + prime // 2) // prime


def _wrapped(values: Tensor) -> Tensor:
    """int64 modulo 2^32 as int32."""
    return ((values + WORD // 2) % WORD - WORD // 2).int()


def _inverse(values: Tensor, prime: int) -> Tensor:
    """Inverses modulo a prime, by Fermat's little theorem."""
    result, power, exponent = torch.ones_like(values), values % prime, prime - 2
    while exponent:
        if exponent & 1:
            result = result * power % prime
        power = power * power % prime
        exponent >>= 1
    return result
