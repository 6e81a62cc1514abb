"""CTKD: a temperature that climbs against the student, and is saved."""

import pytest
import torch

from distiller_zoo.ctkd import CTKD, CTKDDKD, CTKDDKDLoss, CTKDLoss
from distiller_zoo.dkd import DKDLoss
from distiller_zoo.kd import DistillKL
from tests.distiller_zoo import logit_losses as given


def kd(z_s, z_t, labels):
    return CTKDLoss()(z_s, z_t)


@pytest.mark.parametrize("loss", [kd, CTKDDKDLoss()])
def test_bears_what_a_run_can_bring(loss):
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_values_are_those_of_kd_and_dkd_at_that_temperature():
    z_s, z_t, labels = given.logits()
    T = 1 + 20 * torch.sigmoid(torch.tensor(1.0)).item()
    assert kd(z_s, z_t, labels).item() == pytest.approx(DistillKL(T)(z_s, z_t).item(), rel=1e-5)
    assert CTKDDKDLoss(2.0, 3.0)(z_s, z_t, labels).item() == pytest.approx(
        DKDLoss(2.0, 3.0, T)(z_s, z_t, labels).item(), rel=1e-5
    )


@pytest.mark.parametrize("kind", [CTKD, CTKDDKD])
def test_the_temperature_climbs_and_ever_faster(kind):
    student, teacher, batch = given.output(), given.output(name="teacher"), given.batch()
    method, gradients = kind(given.example(), ctkd_loops=4), []
    parameter = method.loss.temperature.global_T
    plain = None
    for epoch in range(6):
        method.begin_epoch(epoch, 240)
        (gradient,) = torch.autograd.grad(method(student, teacher, batch), parameter)
        gradients.append(gradient.item())
    method.loss.temperature.strength.fill_(1.0)
    (plain,) = torch.autograd.grad(method(student, teacher, batch), parameter)
    shares = [g / plain.item() for g in gradients]
    assert shares == pytest.approx([-0.1464466, -0.5, -0.8535534, -1, -1, -1], rel=1e-4)


def test_students_gradients_are_not_reversed():
    z_s, z_t, _ = given.logits()
    loss = CTKDLoss()
    loss.temperature.strength.fill_(-1.0)
    T = loss.temperature().item()
    (own,) = torch.autograd.grad(loss(z_s, z_t), z_s)
    (expected,) = torch.autograd.grad(DistillKL(T)(z_s, z_t), z_s)
    assert torch.allclose(own, expected, atol=1e-6)


def test_temperature_and_strength_are_saved():
    method, other = (CTKD(given.example()) for _ in range(2))
    method.begin_epoch(5, 240)
    method.loss.temperature.global_T.data.fill_(-2.0)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.loss.temperature.global_T, torch.tensor([-2.0]))
    assert torch.equal(other.loss.temperature.strength, method.loss.temperature.strength)


def test_dkd_s_weights_are_the_pair_s_unless_given():
    assert CTKDDKD(given.example("resnet20", "resnet56")).loss.beta == 2
    loss = CTKDDKD(given.example(), dkd_alpha=0.0, dkd_beta=5.0).loss
    assert (loss.alpha, loss.beta) == (0, 5)
    temperature = CTKD(given.example(), ctkd_start=2.0, ctkd_span=1.0).loss.temperature
    assert 2 < temperature().item() < 3
