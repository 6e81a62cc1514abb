"""RKD: the published values, and what relations do not know."""

import pytest
import torch

from distiller_zoo import RKDLoss
from tests.distiller_zoo.published import GOLDEN, agree, check_gradients
from tests.golden.formula import tensor


def test_rkd_golden():
    f_s = tensor("embed_student", (8, 64)).requires_grad_()
    loss = RKDLoss(w_d=25, w_a=50)(f_s, tensor("embed_teacher", (8, 128)))
    agree(loss, GOLDEN["rkd"]["loss"])
    check_gradients(loss, [f_s], GOLDEN["rkd"])


def test_rkd_knows_no_scale_rotation_or_shift():
    f = tensor("f", (8, 16))
    rotation = torch.linalg.qr(tensor("rotation", (16, 16))).Q
    assert RKDLoss()(3 * f @ rotation + 1, f).item() == pytest.approx(0, abs=1e-5)
    assert RKDLoss()(tensor("g", (8, 16)), f).item() > 0.01


def test_rkd_survives_embeddings_that_are_all_the_same():
    f_s = torch.ones(8, 16, requires_grad=True)
    loss = RKDLoss()(f_s, tensor("f", (8, 16)))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(f_s.grad).all()
