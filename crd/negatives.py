"""Drawing negatives: for each image of a batch, K distinct images of other classes, on the device."""

import math

import torch
from torch import Tensor, nn

from helper.errors import UserError
from helper.randomness import generator

BLOCK = 8


class NegativeSampler(nn.Module):
    """Draws, for each image of a batch, exactly K distinct images of other classes, every such set equally likely.

    Each step draws one uniformly random permutation of all images. Every sample of the batch walks through it in
    blocks, with a start and a stride of its own (coprime to the number of blocks, so that no block comes twice),
    passes over its own class, and takes the first K others. The permutation is uniform and the walk does not depend
    on it, so each sample's negatives are a uniform K-subset of the other classes, without replacement. The walks
    decorrelate the sets of different samples, which share the permutation. Nothing waits for the device, all shapes are
    static.

    labels: (n_data,) int64 of the training set; count: K. Raises UserError if there are fewer images of other classes.
    """

    def __init__(self, labels: Tensor, count: int, seed: int = 0):
        super().__init__()
        self.count, self.n_data = count, len(labels)
        largest = largest_count(labels)
        if not 1 <= count <= largest:
            raise UserError(
                f"--nce_k {count}: the class with the most images leaves {largest} images of other classes, "
                f"so allowed are 1 to {largest}"
            )
        reach = count + self.n_data - largest
        self.block = BLOCK if self.n_data // BLOCK * BLOCK >= reach else 1
        self.blocks = self.n_data // self.block
        self.walk = -(-reach // self.block)
        strides = [a for a in range(1, self.blocks + 1) if math.gcd(a, self.blocks) == 1]
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("strides", torch.tensor(strides, device=labels.device), persistent=False)
        self.register_buffer("places", torch.arange(self.walk, device=labels.device), persistent=False)
        self.generator = generator(labels.device, seed)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Indices (B, W) into the training set and a mask (B, W) that keeps exactly K of each row, for labels (B,)."""
        order = self._permutation()[: self.blocks * self.block]
        steps = self.strides[self._integers(len(self.strides), len(labels))]
        starts = self._integers(self.blocks, len(labels))
        blocks = (steps[:, None] * self.places + starts[:, None]) % self.blocks
        drawn = order.view(self.blocks, self.block).index_select(0, blocks.flatten()).view(len(labels), -1)
        classes = self.labels[order].view(self.blocks, self.block)
        others = (
            classes.index_select(0, blocks.flatten()) != labels.repeat_interleave(self.walk)[:, None]
        ).view_as(drawn)
        return drawn, others & (others.cumsum(dim=1, dtype=torch.int32) <= self.count)

    def draw(self, labels: Tensor) -> Tensor:
        """The same as plain indices (B, K)."""
        drawn, kept = self(labels)
        return drawn[kept].view(len(labels), self.count)

    def _permutation(self) -> Tensor:
        device = self.labels.device
        if device.type == "cuda":  # randperm may wait for the device, sorting does not
            keys = torch.rand(self.n_data, dtype=torch.float64, device=device, generator=self.generator)
            return keys.argsort()
        return torch.randperm(self.n_data, device=device, generator=self.generator)

    def _integers(self, limit: int, count: int) -> Tensor:
        return torch.randint(limit, (count,), device=self.labels.device, generator=self.generator)


class SameClassSampler(nn.Module):
    """Draws, for each image of a batch, a random image of the same class (itself among them).

    labels: (n_data,) int64 of the training set.
    """

    def __init__(self, labels: Tensor, seed: int = 0):
        super().__init__()
        counts = torch.bincount(labels)
        self.register_buffer("by_class", labels.argsort(stable=True), persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("starts", counts.cumsum(0) - counts, persistent=False)
        self.generator = generator(labels.device, seed)

    def forward(self, labels: Tensor) -> Tensor:
        """Indices (B,) into the training set for labels (B,)."""
        share = torch.rand(len(labels), dtype=torch.float64, device=labels.device, generator=self.generator)
        return self.by_class[self.starts[labels] + (share * self.counts[labels]).long()]


def largest_count(labels: Tensor) -> int:
    """How many images of other classes every image has at least."""
    return len(labels) - int(torch.bincount(labels).max())
