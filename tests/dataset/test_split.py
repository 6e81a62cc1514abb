"""Parts of a data set: sizes, proportions, and which images they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.split import hold_out, stratified_indices
from helper.errors import UserError

LABELS = np.tile(np.arange(3), 4)


@st.composite
def class_counts(draw: st.DrawFn, smallest: int = 1) -> np.ndarray:
    """Labels of up to eight classes of very different sizes, in random order, with gaps in the numbers."""
    counts = draw(st.lists(st.integers(smallest, 60), min_size=1, max_size=8))
    labels = np.repeat(2 * np.arange(len(counts)), counts)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)


@settings(deadline=None)
@given(labels=class_counts(), data=st.data())
def test_a_stratified_part_has_the_size_and_the_proportions(labels: np.ndarray, data: st.DataObject) -> None:
    classes, counts = np.unique(labels, return_counts=True)
    size = data.draw(st.integers(len(classes), len(labels)))
    chosen = stratified_indices(labels, size, seed=data.draw(st.integers(0, 5)))
    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    assert set(chosen) <= set(range(len(labels)))
    shares = np.array([(labels[chosen] == label).sum() for label in classes])
    assert shares.min() >= 1
    quotas = size * counts / len(labels)
    if quotas.min() >= 1:
        assert (np.abs(shares - quotas) < 1).all()


def test_a_stratified_part_is_a_function_of_its_seed() -> None:
    labels = np.tile(np.arange(10), 100)
    first = stratified_indices(labels, 200, seed=0)
    assert np.array_equal(first, stratified_indices(labels, 200, seed=0))
    assert not np.array_equal(first, stratified_indices(labels, 200, seed=1))
    # Which ones is part of what a published number means: it must not change from version to version.
    assert first[:8].tolist() == [1, 11, 27, 33, 39, 41, 48, 54]


def test_a_stratified_part_is_random_within_each_class() -> None:
    labels = np.repeat([0, 1], [30, 10])
    drawn = np.zeros(40)
    for seed in range(400):
        drawn[stratified_indices(labels, 8, seed)] += 1
    assert drawn[:30].sum() == 400 * 6
    assert drawn.min() > 80 - 5 * 8  # each is drawn 80 times in the mean, with a deviation of 8
    assert drawn.max() < 80 + 5 * 8


@pytest.mark.parametrize("size", [0, 2, 13])
def test_impossible_sizes_of_a_part_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"--train_size asks for {size} images.* 3 .*12"):
        stratified_indices(LABELS, size, seed=0)


@settings(deadline=None)
@given(labels=class_counts(smallest=2), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_holding_out_divides_the_data_in_two(labels: np.ndarray, fraction: float, seed: int) -> None:
    try:
        kept, held_out = hold_out(labels, fraction, seed)
    except UserError as error:
        assert "--val_split" in str(error)
        return
    assert np.array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(len(labels)))
    assert len(held_out) == round(fraction * len(labels))
    assert set(labels[kept]) == set(labels[held_out]) == set(labels)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 5.0, float("nan"), 0.05, 0.95])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(UserError, match="--val_split"):
        hold_out(LABELS, fraction, seed=0)


def test_a_class_of_one_image_cannot_be_divided() -> None:
    with pytest.raises(UserError, match="the smallest has 1"):
        hold_out(np.array([0] * 20 + [1]), 0.5, seed=0)
