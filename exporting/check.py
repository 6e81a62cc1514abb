"""Whether what was written says the same as the network that it was written from."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from dataset.data import DataSettings, eval_loader
from engine.evaluation import Prediction, Scores, evaluate
from exporting.deployed import Deployed, Images, as_pixels
from exporting.formats import Logits
from helper.errors import UserError, told_in_a_line

BATCHES = (1, 2, 7)
TOLERANCE = 1e-4  # of the largest logit
SMALLEST = torch.finfo(torch.float32).tiny  # a network whose logits are all 0 is one too
ADVICE = "nothing was written: leave that format out with --formats"


def check_same(network: Deployed, file: str, found: Logits) -> float:
    """The largest difference of a written file's logits from the network's, as a part of the largest logit,
    over images of noise in batches of different sizes.

    Raises UserError if it is above TOLERANCE, if a logit is not finite, and if the file cannot be run.
    """
    largest = 0.0
    for count in BATCHES:
        images = network.example(count, seed=count)
        expected = network.logits(images)
        with told_in_a_line(f"{file} cannot be run on {count} images", ADVICE):
            difference = relative_difference(found(images), expected)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{file} differs from {network.arch} by {difference:.2g} of the largest logit for {count} "
                f"images (allowed is {TOLERANCE:g}); {ADVICE}"
            )
        largest = max(largest, difference)
    return largest


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of logits (N, C), as a part of the largest of the expected ones."""
    if found.shape != expected.shape:
        raise ValueError(f"its logits are {tuple(found.shape)}, not {tuple(expected.shape)}")
    difference = float((found - expected).abs().max())
    return difference and difference / float(expected.abs().max().clamp(min=SMALLEST))


def check_on_test_set(
    network: Deployed,
    logits: Mapping[str, Logits],
    exact: Collection[str],
    dataset: Images,
    settings: DataSettings,
) -> dict[str, Scores]:
    """Scores on the test set by name.

    exact: the names of what has to give the network's classes, but for images whose two largest logits are
    closer to each other than what rounding may change. Raises UserError if one of them does not.
    """
    wrong = dict.fromkeys(exact, 0)

    def predict(images: Tensor) -> Prediction:
        images = images.contiguous()
        found = {name: run(images) for name, run in logits.items()}
        expected = network.logits(images)
        decided = is_decided(expected)
        for name in exact:
            wrong[name] += int(((found[name].argmax(1) != expected.argmax(1)) & decided).sum())
        return found, None

    batches = eval_loader(as_pixels(dataset), dataset.test, settings, torch.device("cpu"))
    scores, _ = evaluate(predict, batches)
    for name, count in wrong.items():
        if count:
            raise UserError(
                f"{name} gives another class than {network.arch} for {count} of "
                f"{len(dataset.test)} test images; {ADVICE}"
            )
    return scores


def is_decided(logits: Tensor) -> Tensor:
    """For which images (N,) the two largest of the logits (N, C) are apart by more than both may differ."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return first - second > 2 * TOLERANCE * logits.abs().max()
