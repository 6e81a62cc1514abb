"""Properties that hold for whatever hypothesis can think of: options, checkpoints, banks and the loader."""

import argparse
import contextlib
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from crd.bank import Bank
from dataset.loader import TrainLoader
from engine.run_folder import LONGEST_NAME, file_name, short_enough
from helper import arguments
from helper.arguments import epoch_list
from helper.checkpoint import read_checkpoint, write_checkpoint
from helper.errors import UserError

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
WORDS = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["", "-0", "1e400", "nan", "-inf", "0x10", "1_0", " 1", "1" * 5000, "9" * 400]),
)
TYPES = {
    arguments.positive_int: lambda v: isinstance(v, int) and 1 <= v <= arguments.LARGEST_INT,
    arguments.non_negative_int: lambda v: isinstance(v, int) and 0 <= v <= arguments.LARGEST_INT,
    arguments.positive_float: lambda v: math.isfinite(v) and v > 0,
    arguments.non_negative_float: lambda v: math.isfinite(v) and v >= 0,
    arguments.fraction: lambda v: 0 <= v < 1,
    arguments.positive_fraction: lambda v: 0 < v < 1,
}


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
@FEW
@given(word=WORDS)
def test_a_number_is_allowed_or_refused_in_one_line(kind, word):
    try:
        value = kind(word)
    except argparse.ArgumentTypeError as error:
        assert len(str(error).splitlines()) == 1
        allowed = False
        with contextlib.suppress(ValueError):
            allowed = TYPES[kind](int(word) if "int" in kind.__name__ else float(word))
        assert not allowed, "what is allowed was refused"
    else:
        assert TYPES[kind](value)


@FEW
@given(epochs=st.lists(st.integers(-2, 300), max_size=5))
def test_a_list_of_epochs_grows(epochs):
    text = ",".join(map(str, epochs))
    if epochs == sorted(set(epochs)) and all(epoch >= 1 for epoch in epochs):
        assert epoch_list(text) == epochs
    else:
        with pytest.raises(argparse.ArgumentTypeError):
            epoch_list(text)


@FEW
@given(word=st.text(max_size=70))
def test_a_trial_s_name_stays_in_its_folder(word):
    try:
        name = file_name(word)
    except argparse.ArgumentTypeError:
        return
    assert Path("folder", name).resolve().parent == Path("folder").resolve()
    assert name == word


@FEW
@given(first=st.text("ab_", max_size=400), second=st.text("ab_", max_size=400))
def test_folders_of_different_runs_differ_and_are_short(first, second):
    assert len(short_enough(first)) <= LONGEST_NAME
    assert (short_enough(first) == short_enough(second)) == (first == second)


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
TENSORS = st.builds(
    lambda dtype, shape, seed: (torch.randn(shape, generator=seeded(seed)) * 50).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 1000),
)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=8)
)
KEYS = st.one_of(st.text(max_size=8).filter(lambda key: key != "sha256"), st.integers(-9, 9))
NESTED = st.recursive(
    st.one_of(PLAIN, TENSORS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
CONTENTS = st.dictionaries(KEYS, NESTED, max_size=4)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equal(one: object, other: object) -> bool:
    """Whether nested content is the same: types, values, shapes and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return same and torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return repr(one) == repr(other)


@FEW
@given(content=CONTENTS)
def test_what_is_written_is_read(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "some.pth")
        write_checkpoint(content, path)
        assert equal(read_checkpoint(path), content)
        assert [file.name for file in Path(folder).iterdir()] == ["some.pth"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> tuple[Path, bytes, dict]:
    """A small checkpoint like a run's, its bytes, and its content."""
    path = tmp_path_factory.mktemp("damage") / "last.pth"
    content = {
        "model": {"weight": torch.randn(4, 3, generator=seeded(1)), "steps": torch.tensor(7)},
        "progress": {"epoch": 3, "rows": [{"student": "kd", "test_acc": 51.5, "val_acc": None}]},
        "arch": "resnet8",
    }
    write_checkpoint(content, path)
    return path, path.read_bytes(), content


def assert_detected_or_harmless(checkpoint: tuple[Path, bytes, dict], damaged: bytes) -> None:
    path, _, content = checkpoint
    path.write_bytes(damaged)
    try:
        found = read_checkpoint(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert equal(found, content)


@settings(FEW, max_examples=600)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_changed_byte_is_detected_or_harmless(checkpoint, place, change):
    whole = bytearray(checkpoint[1])
    whole[int(place * len(whole))] ^= change
    assert_detected_or_harmless(checkpoint, bytes(whole))


@FEW
@given(length=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_detected(checkpoint, length):
    checkpoint[0].write_bytes(checkpoint[1][: int(length * len(checkpoint[1]))])
    with pytest.raises(UserError, match="is damaged"):
        read_checkpoint(checkpoint[0])


@FEW
@given(start=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1, max_size=300))
def test_overwritten_bytes_are_detected_or_harmless(checkpoint, start, noise):
    whole = checkpoint[1]
    first = int(start * len(whole))
    damaged = whole[:first] + noise + whole[first + len(noise) :]
    assert_detected_or_harmless(checkpoint, damaged[: len(whole)])


@FEW
@given(
    rows=st.integers(2, 20),
    dim=st.integers(2, 9),
    momentum=st.floats(0, 0.999),
    seed=st.integers(0, 99),
    low_precision=st.booleans(),
)
def test_rows_of_a_bank_stay_unit_vectors(rows, dim, momentum, seed, low_precision):
    """Those that were updated; the others are untouched, and the copy for products follows."""
    random = seeded(seed)
    bank = Bank(rows, dim, momentum, seed)
    before = bank.vectors.clone()
    bank.rows(low_precision)
    touched = set()
    for _ in range(3):
        indices = torch.randperm(rows, generator=random)[: max(1, rows // 2)]
        new = torch.nn.functional.normalize(torch.randn(len(indices), dim, generator=random), dim=1)
        bank.update(indices, new)
        touched |= set(indices.tolist())
    kept = [row for row in range(rows) if row not in touched]
    assert torch.allclose(bank.vectors[sorted(touched)].norm(dim=1), torch.ones(len(touched)), atol=1e-5)
    assert torch.equal(bank.vectors[kept], before[kept])
    expected = bank.vectors.bfloat16() if low_precision else bank.vectors
    assert torch.equal(bank.rows(low_precision), expected)


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
        assert all(map(torch.equal, one, other))
