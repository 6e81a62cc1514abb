"""RLD: teachers that are wrong, and labels below which no class is left."""

import pytest
import torch

from distiller_zoo.rld import RLD, RLDLoss
from tests.distiller_zoo import logit_losses as given


def test_bears_what_a_run_can_bring():
    loss = RLDLoss()
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_a_teacher_that_is_right_is_matched_exactly():
    z_t = torch.eye(given.CLASSES)[: given.IMAGES] * 3 + given.logits()[1] / 10
    assert RLDLoss()(z_t, z_t, given.LABELS[: given.IMAGES]).item() == pytest.approx(0, abs=1e-5)


def test_classes_above_the_label_do_not_count():
    z_s, z_t = torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor([[9.0, 5.0, 1.0, 0.0]])
    labels, below = torch.tensor([1]), RLDLoss(alpha=0.0)
    raised = z_s + torch.tensor([[4.0, -2.0, 0.0, 0.0]])
    assert below(raised, z_t, labels).item() == pytest.approx(below(z_s, z_t, labels).item(), rel=1e-5)
    assert below(z_s, z_t, labels).item() > 0


def test_a_label_that_the_teacher_puts_last_leaves_no_class():
    z_s, z_t, labels = torch.tensor([[0.0, 2.0]]), torch.tensor([[-1.0, 2.0]]), torch.tensor([0])
    below = RLDLoss(alpha=0.0)
    assert below(z_s, z_t, labels).item() == 0
    assert given.finite_gradient(below, z_s, z_t, labels)


def test_flags_reach_the_loss():
    method = RLD(given.example(), rld_alpha=2.0, rld_beta=3.0, kd_T=5.0)
    loss = method.loss
    assert (loss.alpha, loss.beta, loss.T, loss.alpha_T) == (2, 3, 5, 5)
    assert RLD(given.example(), rld_alpha_T=1.0).loss.alpha_T == 1
    student, teacher, batch = given.output(), given.output(name="teacher"), given.batch()
    expected = RLDLoss(2.0, 3.0, 5.0)(student.logits, teacher.logits, batch.labels)
    assert torch.equal(method(student, teacher, batch), expected)
