"""The published values of the five oldest methods, and what it is to agree with them."""

import json
from pathlib import Path

import pytest
import torch

from tests.golden.formula import tensor

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())


def agree(value, golden, relative=1e-4):
    assert float(torch.as_tensor(value).detach()) == pytest.approx(
        golden, rel=relative, abs=relative * abs(golden) + 1e-9
    )


def check_gradients(loss, inputs, golden, relative=1e-4):
    gradients = torch.autograd.grad(loss, inputs)
    for gradient, norm, total in zip(gradients, golden["grad_norms"], golden["grad_sums"], strict=True):
        agree(gradient.double().norm(), norm, relative)
        probe = (gradient.double() * tensor("probe", gradient.shape).double()).sum()
        assert float(probe) == pytest.approx(total, abs=relative * norm * 10)
