"""NKD: its two parts, over all classes as published and over the others as in the paper."""

import pytest
import torch

from distiller_zoo.nkd import NKD, NKDLoss
from tests.distiller_zoo import logit_losses as given


@pytest.mark.parametrize("only_others", [False, True])
def test_bears_what_a_run_can_bring(only_others):
    loss = NKDLoss(only_others=only_others)
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_over_the_others_the_target_does_not_count():
    z_s, z_t, labels = given.logits()
    z_s = z_s.detach()
    changed = z_s + 5 * torch.nn.functional.one_hot(labels, given.CLASSES)

    def second_part(z, only_others):
        whole, first = (NKDLoss(2.0, gamma, only_others)(z, z_t, labels) for gamma in (1.5, 0.0))
        return (whole - first).item()

    assert second_part(changed, True) == pytest.approx(second_part(z_s, True), rel=1e-4)
    assert second_part(changed, False) != pytest.approx(second_part(z_s, False), rel=1e-2)


def test_the_teacher_s_own_logits_are_the_best_answer():
    _, z_t, labels = given.logits()
    z = z_t.clone().requires_grad_()
    loss = NKDLoss()(z, z_t, labels)
    parts = NKDLoss(gamma=0.0)(z, z_t, labels)
    (gradient,) = torch.autograd.grad(loss - parts, z)
    assert gradient.abs().max() < 1e-6


def test_flags_reach_the_loss():
    method = NKD(given.example(), nkd_gamma=2.0, nkd_T=3.0, nkd_classes="others")
    student, teacher, batch = given.output(), given.output(name="teacher"), given.batch()
    expected = NKDLoss(3.0, 2.0, only_others=True)(student.logits, teacher.logits, batch.labels)
    assert torch.equal(method(student, teacher, batch), expected)
