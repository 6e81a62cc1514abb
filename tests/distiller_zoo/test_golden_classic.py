"""The classic methods against the values of their published code."""

import pytest
import torch

from distiller_zoo import distiller_dict
from tests.golden.cases import assert_agrees, load_entries, run_case

ENTRIES = {
    **load_entries("methods_classic.json"),
    "ofd": load_entries("methods_modern.json")["ofd"],
}
OWN = {"float64", "canonical"}

# -r, -a, -b as published: RepDistiller's, but SemCKD's for IRG and HKD, mdistiller's for KDSVD and OFD
WEIGHTS = {
    "at": (1, 0, 1000),
    "sp": (1, 0, 3000),
    "cc": (1, 0, 0.02),
    "vid": (1, 0, 1),
    "pkt": (1, 0, 30000),
    "nst": (1, 0, 50),
    "fsp": (1, 0, 50),
    "kdsvd": (1, 0, 1),
    "ab": (1, 0, 1),
    "ft": (1, 0, 200),
    "irg": (1, 1, 0.005),
    "hkd": (1, 1, 1),
    "ofd": (1, 0, 0.001),
}


def test_weights_are_the_published_ones():
    assert {name: tuple(distiller_dict[name].weights) for name in WEIGHTS} == WEIGHTS
    stages = {name for name in WEIGHTS if distiller_dict[name].pretraining == 30}
    assert stages == {"fsp", "ab", "ft"}


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
