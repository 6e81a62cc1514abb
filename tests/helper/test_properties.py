"""Properties that hold for whatever hypothesis can think of: words for flags, folder names, checkpoints."""

import argparse
import contextlib
import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

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
    "positive_int": lambda v: isinstance(v, int) and 1 <= v <= arguments.LARGEST_INT,
    "non_negative_int": lambda v: isinstance(v, int) and 0 <= v <= arguments.LARGEST_INT,
    "positive_float": lambda v: math.isfinite(v) and v > 0,
    "non_negative_float": lambda v: math.isfinite(v) and v >= 0,
    "fraction": lambda v: 0 <= v < 1,
    "positive_fraction": lambda v: 0 < v < 1,
}


@pytest.mark.parametrize("name", TYPES)
@FEW
@given(word=WORDS)
def test_a_number_is_allowed_or_refused_in_one_line(name, word):
    try:
        value = getattr(arguments, name)(word)
    except argparse.ArgumentTypeError as error:
        assert len(str(error).splitlines()) == 1
        allowed = False
        with contextlib.suppress(ValueError):
            allowed = TYPES[name](int(word) if "int" in name else float(word))
        assert not allowed, "what is allowed was refused"
    else:
        assert TYPES[name](value)


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
