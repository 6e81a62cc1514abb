"""DIST: what correlations forget, and batches without any."""

import pytest
import torch

from distiller_zoo.dist import DIST, DISTLoss, correlations
from tests.distiller_zoo import logit_losses as given
from tests.golden.formula import tensor


def loss(z_s, z_t, labels):
    return DISTLoss()(z_s, z_t)


def test_bears_what_a_run_can_bring():
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_correlations_are_numpy_s():
    a, b = tensor("a", (3, 20)), tensor("b", (3, 20))
    expected = [torch.corrcoef(torch.stack(rows))[0, 1] for rows in zip(a, b, strict=True)]
    assert torch.allclose(correlations(a, b), torch.stack(expected), atol=1e-5)
    assert torch.allclose(correlations(a, -2 * a + 1), torch.tensor(-1.0))


def test_equal_logits_cost_nothing_and_uniform_ones_all_of_it():
    z, _, labels = given.logits()
    assert loss(z, z, labels).item() == pytest.approx(0, abs=1e-4)
    assert loss(torch.zeros_like(z), z, labels).item() == pytest.approx(2 * 4**2)


def test_one_image_has_no_correlation_over_images():
    z_s, z_t, labels = given.logits(batch=1)
    assert given.finite_gradient(loss, z_s.detach(), z_t, labels)
    assert DISTLoss(beta=0.0)(z_s, z_t).item() == pytest.approx(4**2)


def test_flags_reach_the_loss():
    method = DIST(given.example(), dist_beta=2.0, dist_gamma=3.0, dist_tau=1.0)
    student, teacher = given.output(), given.output(name="teacher")
    expected = DISTLoss(2.0, 3.0, 1.0)(student.logits, teacher.logits)
    assert torch.equal(method(student, teacher, given.batch()), expected)
