"""The feature methods of 2021 to 2025 against the values of their published code."""

import pytest
import torch

from tests.golden.cases import assert_agrees, load_entries, reference, run_case
from tests.golden.cases_features import CASES

ENTRIES = {
    name: entry for name, entry in load_entries("methods_modern.json").items() if entry["method"] in CASES
}


@pytest.mark.parametrize("name", ENTRIES)
def test_agrees_with_the_published_values(name):
    assert_agrees(run_case(ENTRIES[name]), ENTRIES[name], rounding=biases_before_a_norm(ENTRIES[name]))


@pytest.mark.parametrize("name", ENTRIES)
def test_float64_gives_the_same(name):
    result = run_case(ENTRIES[name], dtype=torch.float64)
    assert_agrees(result, ENTRIES[name], rounding=biases_before_a_norm(ENTRIES[name]))


def test_batch_norms_of_reviewkd_have_seen_the_batch():
    entry = ENTRIES["reviewkd"]
    assert run_case(entry)["buffers"] == pytest.approx(reference(entry)["buffers"], rel=1e-3, abs=1e-4)


def test_schedule_of_norm():
    entry = ENTRIES["norm_schedule"]
    assert run_case(entry)["values"] == entry["values"]


def test_every_step_of_dot():
    entry = ENTRIES["dot"]
    for own, golden in zip(run_case(entry)["after_step"], entry["after_step"], strict=True):
        for name, numbers in golden.items():
            assert own[name] == pytest.approx(numbers, rel=1e-5), name


def biases_before_a_norm(entry: dict) -> list[str]:
    """The entry's parameters whose gradient is zero in exact arithmetic, as a batch norm takes them out."""
    return [key for key in entry.get("state", ()) if key in ("conv.bias", "embed.bias")]
