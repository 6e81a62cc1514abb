"""Parts of a data set in which every class keeps its share, the same on every machine."""

import numpy as np

from helper.errors import UserError
from helper.randomness import derive_seed


def stratified_indices(labels: np.ndarray, size: int, seed: int, flag: str = "--train_size") -> np.ndarray:
    """Sorted indices (size,) of a random part of the data; every class has its share, and at least one image.

    labels: (n,) integers. flag: the setting that asked for it, for the message. Raises UserError if size is
    smaller than the number of classes or larger than n.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise UserError(
            f"{flag} asks for {size} images, allowed are {len(classes)} (one per class) to {len(labels)} "
            "(all): choose a number in between"
        )
    # RandomState, because its stream is frozen: numpy's newer generators may change theirs.
    random = np.random.RandomState(derive_seed(seed, "split") % 2**32)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, _shares(counts, size), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def hold_out(
    labels: np.ndarray, fraction: float, seed: int, flag: str = "--val_split"
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of what stays for training and of the stratified fraction that is held out.

    labels: (n,) integers. Raises UserError unless both parts get at least one image of every class.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if not 0 < fraction < 1:
        raise UserError(f"{flag} is {fraction:g}, allowed is a fraction between 0 and 1, for example 0.1")
    size = round(fraction * len(labels))
    largest = len(labels) - len(classes)
    if counts.min() < 2 or not len(classes) <= size <= largest:
        raise UserError(
            f"{flag} {fraction:g} would hold out {size} of {len(labels)} images; each of the {len(classes)} "
            f"classes needs an image in both parts, and the smallest has {counts.min()}: allowed are "
            f"{len(classes)} to {largest} held-out images and classes of at least 2"
        )
    held_out = stratified_indices(labels, size, seed, flag)
    kept = np.setdiff1d(np.arange(len(labels)), held_out)
    emptied = np.setdiff1d(classes, labels[kept])
    if len(emptied):
        raise UserError(
            f"{flag} {fraction:g} leaves no training image of class {emptied[0]}: choose a smaller fraction"
        )
    return kept, held_out


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Images of each class that make up `size`: largest remainders, at least one, in exact arithmetic."""
    total = int(counts.sum())
    shares = np.maximum(counts * size // total, 1)
    while shares.sum() < size:
        shares[np.argmax(counts * size - shares * total)] += 1
    while shares.sum() > size:
        surplus = shares * total - counts * size
        shares[np.argmax(np.where(shares > 1, surplus, np.iinfo(np.int64).min))] -= 1
    return shares
