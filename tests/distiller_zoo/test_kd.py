"""KD: the published values, and what softening does to gradients."""

import pytest

from distiller_zoo import DistillKL
from tests.distiller_zoo.published import GOLDEN, agree, check_gradients
from tests.golden.formula import tensor


def test_kd_golden():
    z_s = tensor("logits_student", (8, 100), std=3).requires_grad_()
    loss = DistillKL(4)(z_s, tensor("logits_teacher", (8, 100), std=3))
    agree(loss, GOLDEN["kd_T4"]["loss"])
    check_gradients(loss, [z_s], GOLDEN["kd_T4"])


def test_kd_is_zero_for_equal_logits_and_ignores_a_shift():
    z = tensor("z", (8, 10), std=3)
    assert DistillKL(4)(z, z + 5).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kd_keeps_the_size_of_its_gradient_when_the_temperature_grows(temperature):
    """For logits near each other T^2 makes up for the softened probabilities' smaller gradients: the loss of
    logits T times as large, divided by T^2, is the loss at temperature 1.
    """
    z_s, z_t = tensor("z_s", (8, 10)), tensor("z_t", (8, 10))
    scaled = DistillKL(temperature)(temperature * z_s, temperature * z_t) / temperature**2
    assert scaled.item() == pytest.approx(DistillKL(1.0)(z_s, z_t).item(), rel=1e-5)
