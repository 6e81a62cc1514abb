"""Evaluation: the same numbers whatever the batch, and a batch that is too large is halved."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from engine.evaluation import evaluate
from helper.batch import Batch

COUNT = 101


def batches(size: int) -> Iterator[Batch]:
    """Images that are their own logits of 12 classes, so that a prediction does not depend on its batch."""
    random = torch.Generator().manual_seed(0)
    images = 4 * torch.randn(COUNT, 12, generator=random)
    labels = torch.randint(12, (COUNT,), generator=random)
    for begin in range(0, COUNT, size):
        part = slice(begin, begin + size)
        yield Batch(images[part], labels[part], torch.arange(COUNT)[part])


def predict(images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    weights = torch.stack([images[:, 0].mean(), images[:, 1].mean()])
    return {"student": images, "doubled": 2 * images}, weights


def test_scores_are_those_of_all_images_at_once() -> None:
    [whole] = batches(COUNT)
    scores, weights = evaluate(predict, batches(COUNT))
    loss = torch.nn.functional.cross_entropy(whole.images.double(), whole.labels).item()
    ranks = (whole.images > whole.images.gather(1, whole.labels[:, None])).sum(dim=1)
    assert scores["student"].loss == pytest.approx(loss, rel=1e-6)
    assert scores["student"].top1 == 100 * (ranks == 0).double().mean().item()
    assert scores["student"].top5 == 100 * (ranks < 5).double().mean().item()
    assert scores["doubled"].top1 == scores["student"].top1
    assert scores["doubled"].loss != scores["student"].loss
    assert weights == pytest.approx(whole.images[:, :2].mean(dim=0).tolist(), rel=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 50, 100, 1000])
def test_the_size_of_the_batch_does_not_change_the_numbers(size: int) -> None:
    expected, expected_weights = evaluate(predict, batches(COUNT))
    scores, weights = evaluate(predict, batches(size))
    for name, (loss, top1, top5) in scores.items():
        assert (top1, top5) == expected[name][1:]
        assert loss == pytest.approx(expected[name].loss, rel=1e-14)
    assert weights == pytest.approx(expected_weights, rel=1e-5)


class Narrow:
    """Predicts for a few images at once only; `sizes` are those that it was asked for."""

    def __init__(self, most: int, error: Exception):
        self.most, self.error = most, error
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.error
        return predict(images)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_batch_too_large_for_the_memory_is_halved_until_it_fits(error: Exception) -> None:
    narrow = Narrow(7, error)
    with pytest.warns(
        UserWarning, match=r"too small to evaluate \d+ images at once.*--eval_batch_size"
    ) as told:
        scores, _ = evaluate(narrow, batches(40))
    expected, _ = evaluate(predict, batches(40))
    assert scores["student"][1:] == expected["student"][1:]
    assert scores["student"].loss == pytest.approx(expected["student"].loss, rel=1e-14)
    # 40, 20 and 10 are too many; then 5 at a time, also in the batches that follow: 40, 40 and 21.
    assert narrow.sizes == [40, 20, 10] + 8 * [5] + 8 * [5] + 4 * [5] + [1]
    assert [f"going on with {size} " in str(w.message) for w, size in zip(told, (20, 10, 5), strict=True)]


def test_memory_that_is_short_in_the_middle_loses_no_image() -> None:
    class Sudden(Narrow):
        def __call__(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            self.most = 100 if len(self.sizes) < 2 else 3
            return super().__call__(images)

    narrow = Sudden(100, OUT_OF_MEMORY[0])
    with pytest.warns(UserWarning):
        scores, weights = evaluate(narrow, batches(20))
    expected, expected_weights = evaluate(predict, batches(COUNT))
    assert narrow.sizes[:6] == [20, 20, 20, 10, 5, 3]
    assert scores["student"][1:] == expected["student"][1:]
    assert weights == pytest.approx(expected_weights, rel=1e-5)


def test_what_does_not_fit_as_a_single_image_is_raised() -> None:
    with pytest.raises(torch.OutOfMemoryError), pytest.warns(UserWarning):
        evaluate(Narrow(0, OUT_OF_MEMORY[0]), batches(4))


def test_another_error_is_raised_at_once() -> None:
    narrow = Narrow(3, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        evaluate(narrow, batches(10))
    assert narrow.sizes == [10]


def test_fewer_than_five_classes() -> None:
    def three(images: Tensor) -> tuple[dict[str, Tensor], None]:
        return {"student": images[:, :3]}, None

    few = (batch._replace(labels=batch.labels % 3) for batch in batches(30))
    scores, weights = evaluate(three, few)
    assert scores["student"].top5 == 100
    assert weights is None
