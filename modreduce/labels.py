"""Learning from labels where some classes are rare, and where some images have no label."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helper.batch import UNLABELLED


class LabelLoss(nn.Module):
    """Cross-entropy with the labels, averaged over the images that have one.

    weights: (C,), what an image of each class counts in the mean (as torch's cross_entropy has it), None for
    all the same; unlabelled: whether labels may be -1, of images that then count nothing; a batch of such
    images alone has a loss of 0.

    >>> LabelLoss(unlabelled=True)(torch.zeros(3, 4), torch.tensor([0, -1, -1]))
    tensor(1.3863)
    """

    def __init__(self, weights: Tensor | None = None, unlabelled: bool = False):
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)
        self.unlabelled = unlabelled

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of logits (B, C) with labels (B,)."""
        if not self.unlabelled:
            return F.cross_entropy(logits, labels, weight=self.weights)
        total = F.cross_entropy(logits, labels, weight=self.weights, ignore_index=UNLABELLED, reduction="sum")
        counts = (labels != UNLABELLED).to(total.dtype)
        if self.weights is not None:
            counts = counts * self.weights[labels.clamp(min=0)]
        count = counts.sum()
        return total / torch.where(count > 0, count, 1.0)


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """n / (C * n_c) for each class (C,): all classes then count the same, however many images they have.

    labels: (n,) of the training images; those that are -1 do not count. A class without images has 0.
    """
    counts = torch.bincount(labels[labels != UNLABELLED], minlength=num_classes).double()
    weights = counts.sum() / (num_classes * counts)
    return torch.where(counts > 0, weights, 0.0).float()
