"""FitNet: the published values, and every relation of sizes."""

import pytest
import torch

from distiller_zoo import HintLoss
from distiller_zoo.fitnet import Regressor
from tests.distiller_zoo.published import GOLDEN, agree, check_gradients
from tests.golden.formula import fill, tensor


def test_hint_golden():
    f_s = tensor("hint_student", (8, 32, 8, 8)).requires_grad_()
    loss = HintLoss()(f_s, tensor("hint_teacher", (8, 32, 8, 8)))
    agree(loss, GOLDEN["hint"]["loss"])
    check_gradients(loss, [f_s], GOLDEN["hint"])


@pytest.mark.parametrize("case", GOLDEN["fitnet"])
def test_fitnet_golden(case):
    golden = GOLDEN["fitnet"][case]
    regressor = fill(Regressor(tuple(golden["student"]), tuple(golden["teacher"]))).train()
    assert {
        k: list(v.shape) for k, v in Regressor(golden["student"], golden["teacher"]).state_dict().items()
    } == golden["state"]
    f_s = tensor("reg_student", golden["student"]).requires_grad_()
    loss = HintLoss()(regressor(f_s), tensor("reg_teacher", golden["teacher"]))
    agree(loss, golden["loss"])
    check_gradients(loss, [f_s], {"grad_norms": [golden["grad_norm"]], "grad_sums": [golden["grad_probe"]]})


@pytest.mark.parametrize(
    "size_s, size_t",
    [(32, 32), (32, 16), (32, 8), (32, 4), (2, 8), (4, 8), (8, 32), (16, 2), (2, 6), (9, 4), (3, 8), (5, 7)],
)
def test_the_regressor_knows_every_relation_of_sizes(size_s, size_t):
    regressor = Regressor((2, 4, size_s, size_s), (2, 6, size_t, size_t))
    assert regressor(torch.zeros(2, 4, size_s, size_s)).shape == (2, 6, size_t, size_t)


@pytest.mark.parametrize(
    "size_s, size_t",
    [
        ((6, 8), (6, 8)),
        ((12, 16), (6, 8)),
        ((24, 32), (6, 8)),
        ((6, 8), (12, 24)),
        ((13, 9), (7, 9)),
        ((6, 8), (11, 15)),
        ((6, 8), (3, 16)),
        ((12, 8), (6, 8)),
    ],
)
def test_the_regressor_serves_maps_that_are_no_squares(size_s, size_t):
    regressor = Regressor((2, 4, *size_s), (2, 6, *size_t))
    f_s = tensor("map", (2, 4, *size_s)).requires_grad_()
    regressed = regressor(f_s)
    assert regressed.shape == (2, 6, *size_t)
    regressed.square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in regressor.conv.parameters())


def test_a_map_without_a_whole_factor_is_enlarged_bilinearly():
    regressor = Regressor((2, 4, 3, 4), (2, 6, 7, 9)).eval()
    f_s = tensor("map", (2, 4, 3, 4))
    whole = torch.nn.functional.interpolate(regressor.conv(f_s), (7, 9), mode="bilinear", align_corners=False)
    assert torch.equal(regressor(f_s), regressor.bn(whole).relu())
