"""The logit methods against the values of their published code."""

import pytest
import torch

from tests.golden.cases import assert_agrees, load_entries, run_case
from tests.golden.cases_logits import CASES

ENTRIES = {
    name: entry for name, entry in load_entries("methods_modern.json").items() if entry["method"] in CASES
}
RELATIVE = {"ctkd": 1e-3}  # the golden values' own tolerance for the temperature
OTHER_SCALARS = (
    "tckd",
    "nckd",
    "loss_ce",
    "loss_kd",
    "logits_probe",
    "logits_cross_entropy",
    "eval_logits_probe_after_one_step",
    "temperature",
    "values",
    "student_patch_probe",
    "teacher_patch_probe",
    "cam_probe",
)


@pytest.mark.parametrize("name", ENTRIES)
def test_agrees_with_the_published_code(name):
    entry = ENTRIES[name]
    relative = RELATIVE.get(entry["method"], 1e-4)
    result = run_case(entry)
    assert_agrees(result, entry, relative)
    for key in OTHER_SCALARS:
        if key in entry:
            assert result[key] == pytest.approx(entry[key], rel=relative)


@pytest.mark.parametrize("name", ENTRIES)
def test_float64_gives_the_same(name):
    entry = ENTRIES[name]
    assert_agrees(run_case(entry, torch.float64), entry, RELATIVE.get(entry["method"], 1e-4))
