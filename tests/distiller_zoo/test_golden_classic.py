"""The classic methods against the values of their published code."""

import pytest
import torch

from tests.golden.cases import assert_agrees, load_entries, run_case

ENTRIES = {
    **load_entries("methods_classic.json"),
    "ofd": load_entries("methods_modern.json")["ofd"],
}
OWN = {"float64", "canonical"}


@pytest.mark.parametrize("name", ENTRIES)
def test_agrees_with_the_published_values(name):
    assert_agrees(run_case(ENTRIES[name]), ENTRIES[name])


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if OWN & entry.keys()])
def test_agrees_in_float64(name):
    assert_agrees(run_case(ENTRIES[name], dtype=torch.float64), ENTRIES[name], relative=1e-9)


def test_margins_of_ofd():
    entry = ENTRIES["ofd"]
    result = run_case(entry)
    assert result["margins"] == pytest.approx(entry["margins"], rel=1e-4)
    assert result["margin0"] == pytest.approx(entry["margin0"], abs=1e-5)
