"""Accuracy and loss over a whole split, read from the device once."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from helper.batch import Batch

Predict = Callable[[Tensor], tuple[dict[str, Tensor], Tensor | None]]


class Scores(NamedTuple):
    """Mean cross-entropy, top-1 and top-5 accuracy in percent."""

    loss: float
    top1: float
    top5: float


@torch.no_grad()
def evaluate(predict: Predict, batches: Iterable[Batch]) -> tuple[dict[str, Scores], list[float] | None]:
    """Scores by name, and the ensemble's weights averaged over the images, of what `predict` says of the
    batches.

    predict: images (B, 3, H, W) to logits (B, C) by name, and the weights (N,) or None. With fewer than five
    classes the top-5 accuracy is the top-C accuracy, 100 %.
    """
    sums: dict[str, Tensor] = {}
    weight_sum, count = None, 0
    for batch in batches:
        named, weights = predict(batch.images)
        for name, logits in named.items():
            sums[name] = sums.get(name, 0) + _sums(logits.float(), batch.labels)
        if weights is not None:
            weight_sum = (0 if weight_sum is None else weight_sum) + weights.double() * len(batch.labels)
        count += len(batch.labels)
    values = (torch.stack(list(sums.values())) / count).tolist()
    scores = {name: Scores(v[0], 100 * v[1], 100 * v[2]) for name, v in zip(sums, values, strict=True)}
    return scores, None if weight_sum is None else (weight_sum / count).tolist()


def _sums(logits: Tensor, labels: Tensor) -> Tensor:
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    loss = F.cross_entropy(logits, labels, reduction="sum").double()
    return torch.stack([loss, ranked[:, 0].sum().double(), ranked.sum().double()])
