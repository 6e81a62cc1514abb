"""TTM and WTTM: the transformed teacher, and probabilities that underflow."""

import pytest
import torch

from distiller_zoo.ttm import TTM, TTMLoss, transformed_divergence
from distiller_zoo.wttm import WTTM, WTTMLoss
from tests.distiller_zoo import logit_losses as given


@pytest.mark.parametrize("kind", [TTMLoss, WTTMLoss])
def test_bears_what_a_run_can_bring(kind):
    def loss(z_s, z_t, labels):
        return kind(0.1)(z_s, z_t)

    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_a_student_with_the_transformed_teacher_s_logits_costs_nothing():
    _, z_t, _ = given.logits()
    assert TTMLoss(0.3)(0.3 * z_t, z_t).item() == pytest.approx(0, abs=1e-6)
    assert WTTMLoss(0.3)(0.3 * z_t, z_t).item() == pytest.approx(0, abs=1e-5)


def test_powers_are_the_published_ones():
    z_s, z_t, _ = given.logits()
    powers = z_t.softmax(1) ** 0.2
    divergence, sums = transformed_divergence(z_s, z_t, 0.2)
    assert torch.allclose(sums, powers.sum(1))
    p_t = powers / powers.sum(1, keepdim=True)
    expected = (p_t * (p_t.log() - z_s.log_softmax(1))).sum(1)
    assert torch.allclose(divergence, expected, atol=1e-5)


def test_probabilities_that_underflow_still_teach():
    """softmax gives 0 for a gap of 200, and a power of 0 stays 0: yet e^-200 to the power of 0.01 is e^-2."""
    z_t = torch.tensor([[0.0, -200.0]], dtype=torch.float32)
    assert z_t.softmax(1)[0, 1] == 0
    _, sums = transformed_divergence(torch.zeros(1, 2), z_t.double(), 0.01)
    _, single = transformed_divergence(torch.zeros(1, 2), z_t, 0.01)
    assert single.item() == pytest.approx(sums.item())
    assert single.item() > 1.1


@pytest.mark.parametrize("kind", [TTM, WTTM])
def test_flags_reach_the_loss(kind):
    name = kind.__name__.lower()
    method = kind(given.example(), **{f"{name}_exponent": 0.5})
    assert method.loss.exponent == 0.5
    student, teacher = given.output(), given.output(name="teacher")
    assert torch.equal(method(student, teacher, given.batch()), method.loss(student.logits, teacher.logits))
