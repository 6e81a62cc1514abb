"""A bank whatever its size, momentum and precision."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crd.bank import Bank
from helper.randomness import generator

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


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
    random = generator("cpu", seed)
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
