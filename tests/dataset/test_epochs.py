"""The loader whatever its size, batch and seed."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.loader import TrainLoader
from helper.errors import UserError

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@FEW
@given(
    count=st.integers(1, 30),
    batch=st.integers(1, 30),
    epoch=st.integers(0, 5),
    start=st.integers(0, 5),
    drop_last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_an_epoch_is_a_function_of_seed_and_epoch_from_any_step_on(
    count, batch, epoch, start, drop_last, seed
):
    """Every image once (but for a dropped rest), and a resumed epoch is the rest of the whole one."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = np.arange(count) % 3

    def loader() -> TrainLoader:
        return TrainLoader(
            images,
            labels,
            batch_size=batch,
            device="cpu",
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            seed=seed,
            drop_last=drop_last,
        )

    if batch > count:
        with pytest.raises(UserError, match="larger than"):
            loader()
        return
    whole = list(loader().epoch(epoch))
    rest = list(loader().epoch(epoch, start=min(start, len(whole))))
    seen = torch.cat([part.indices for part in whole]).tolist()
    assert len(set(seen)) == len(seen) == (count // batch * batch if drop_last else count)
    for part in whole:
        assert torch.equal(part.labels, torch.from_numpy(labels)[part.indices])
    for one, other in zip(whole[min(start, len(whole)) :], rest, strict=True):
        assert all(map(torch.equal, one.tensors(), other.tensors()))
