"""SRD: both forms, equality, dead dimensions."""

import math

import pytest
import torch

from distiller_zoo.srd import SRD, SRDLoss
from helper.errors import UserError
from tests.distiller_zoo import materials


def embeddings(batch: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    f_s, f_t = materials.maps([(batch, 6), (batch, 10)], "e")
    return f_s, f_t


@pytest.mark.parametrize("form", ["distance", "correlation"])
def test_form_of_inputs_teacher_and_gradients(form):
    torch.manual_seed(0)
    loss, (f_s, f_t) = SRDLoss(6, 10, form), embeddings()
    found = torch.autograd.grad(loss(f_s, f_t), [f_s, f_t], allow_unused=True)
    assert found[0].abs().sum() > 0 and found[1] is None
    low = loss(f_s.bfloat16(), f_t.bfloat16())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, loss(f_s, f_t), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("form", ["distance", "correlation"])
def test_equal_and_constant_embeddings_have_finite_gradients(form):
    loss, (_, f_t) = SRDLoss(10, 10, form), embeddings()
    torch.nn.init.eye_(loss.embed.weight)
    torch.nn.init.zeros_(loss.embed.bias)
    same = f_t.detach().clone().requires_grad_()
    value = loss(same, f_t)
    materials.gradients(value, [same])
    assert value < loss(f_t.flip(0), f_t) - 5
    dead = torch.zeros(8, 10, requires_grad=True)
    materials.gradients(loss(dead, f_t), [dead])


def test_scale_and_offset_of_the_embeddings_do_not_matter():
    loss, (f_s, f_t) = SRDLoss(6, 10, epsilon=1e-12), embeddings()
    torch.testing.assert_close(loss(f_s, 3 * f_t + 1), loss(f_s, f_t), rtol=1e-4, atol=1e-4)


def test_twice_the_batch_adds_the_logarithm_of_two():
    loss, (f_s, f_t) = SRDLoss(6, 10), embeddings()
    twice = loss(torch.cat([f_s, f_s]), torch.cat([f_t, f_t]))
    torch.testing.assert_close(twice, loss(f_s, f_t) + math.log(2.0))


@pytest.mark.parametrize("form", ["distance", "correlation"])
def test_method_learns(form):
    torch.manual_seed(0)
    method = SRD(materials.example(), srd_form=form)
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    optimizer = torch.optim.SGD(method.parameters(), 0.05)
    values = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = method(student, teacher, materials.a_batch())
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0]


def test_what_it_cannot_serve_is_said():
    with pytest.raises(UserError, match="--batch_size 1 is too small"):
        SRD(materials.example(batch=1))
    with pytest.raises(ValueError, match="'cosine': allowed are distance, correlation"):
        SRDLoss(6, 10, "cosine")
