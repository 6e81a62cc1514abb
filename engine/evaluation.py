"""Accuracy and loss over a whole split, read from the device once."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helper.batch import Batch
from helper.errors import is_out_of_memory

Prediction = tuple[dict[str, Tensor], Tensor | None]
Predict = Callable[[Tensor], Prediction]


class Scores(NamedTuple):
    """Mean cross-entropy, top-1 and top-5 accuracy in percent."""

    loss: float
    top1: float
    top5: float


@dataclass
class Classes:
    """What the images of a split show, and what each name takes them for, part by part: (B,) int64."""

    labels: list[Tensor] = field(default_factory=list)
    predicted: dict[str, list[Tensor]] = field(default_factory=dict)

    def arrays(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The same of all images (n,); waits for the device."""
        whole = {name: torch.cat(parts).cpu().numpy() for name, parts in self.predicted.items()}
        return torch.cat(self.labels).cpu().numpy(), whole


@torch.no_grad()
def evaluate(
    predict: Predict, batches: Iterable[Batch], classes: Classes | None = None
) -> tuple[dict[str, Scores], list[float] | None]:
    """Scores by name, and the ensemble's weights averaged over the images, of what `predict` says of batches.

    predict: images (B, 3, H, W) to logits (B, C) by name, and the weights (N,) or None. With fewer than five
    classes the top-5 accuracy is the top-C accuracy, 100 %. A batch for which the memory is too small is
    halved, and so are those that follow; raises what `predict` raised once a single image is too much.
    classes: is told every image's class, if given.
    """
    sums: dict[str, Tensor] = {}
    weight_sum, count = None, 0
    for images, labels, (named, weights) in _predictions(predict, batches):
        for name, logits in named.items():
            ranked = logits.float().topk(min(5, logits.shape[1]), dim=1).indices
            sums[name] = sums.get(name, 0) + _sums(logits.float(), ranked, labels)
            if classes is not None:
                classes.predicted.setdefault(name, []).append(ranked[:, 0])
        if classes is not None:
            classes.labels.append(labels)
        if weights is not None:
            weight_sum = (0 if weight_sum is None else weight_sum) + weights.double() * len(images)
        count += len(images)
    values = (torch.stack(list(sums.values())) / count).tolist()
    scores = {name: Scores(v[0], 100 * v[1], 100 * v[2]) for name, v in zip(sums, values, strict=True)}
    return scores, None if weight_sum is None else (weight_sum / count).tolist()


def _predictions(predict: Predict, batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor, Prediction]]:
    """Images, labels and what `predict` says of them, in batches as large as given or as memory allows."""
    largest = None
    for batch in batches:
        rest = batch.images, batch.labels
        while len(rest[0]):
            size = min(largest or len(rest[0]), len(rest[0]))
            predicted = _try(predict, rest[0][:size])
            if predicted is None:
                largest = -(-size // 2)
                warnings.warn(
                    f"the memory is too small to evaluate {size} images at once: going on with {largest} "
                    f"(--eval_batch_size {largest} avoids the attempt)",
                    stacklevel=3,
                )
                continue
            yield rest[0][:size], rest[1][:size], predicted
            rest = rest[0][size:], rest[1][size:]


def _try(predict: Predict, images: Tensor) -> Prediction | None:
    """What `predict` says, or None if the memory is too small for so many images and was cleared.

    In a function of its own, so that what the failed attempt allocated is free before the next one.
    """
    try:
        return predict(images)
    except (MemoryError, RuntimeError) as error:
        if len(images) == 1 or not is_out_of_memory(error):
            raise
    if images.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _sums(logits: Tensor, ranked: Tensor, labels: Tensor) -> Tensor:
    """(3,) float64: cross-entropy, and how many are right among one and five, each summed over the images.

    ranked: (B, 5), the most likely classes. The loss of an image is rounded before it is summed: sums are the
    same for batches of any size.
    """
    right = ranked == labels[:, None]
    loss = F.cross_entropy(logits, labels, reduction="none").double().sum()
    return torch.stack([loss, right[:, 0].sum().double(), right.sum().double()])
