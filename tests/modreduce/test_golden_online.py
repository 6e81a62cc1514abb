"""The online methods against the values of their published code."""

import pytest
import torch

from tests.golden.cases import assert_agrees, load_entries, run_case
from tests.golden.cases_online import CASES

ENTRIES = {
    name: entry for name, entry in load_entries("methods_modern.json").items() if entry["method"] in CASES
}
FURTHER = ("losses", "target_norm", "students_taught", "targets_probe", "values")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ENTRIES)
def test_agrees_with_the_published_values(name, dtype):
    entry = ENTRIES[name]
    result = run_case(entry, dtype=dtype)
    assert_agrees(result, entry)
    for key in FURTHER:
        if key in entry:
            assert result[key] == pytest.approx(entry[key], rel=1e-4), key
