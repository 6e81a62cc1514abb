"""CC: differences of neighbouring images."""

import pytest
import torch

from distiller_zoo.cc import CC, CCLoss
from helper.errors import UserError
from tests.distiller_zoo import materials


def test_neighbours_in_the_batch_count_and_both_layers_learn():
    torch.manual_seed(0)
    loss, f_s, f_t = CCLoss(6, 9, 5), torch.randn(4, 6, requires_grad=True), torch.randn(4, 9)
    apart = (loss.embed_s(f_s) - loss.embed_t(f_t)).abs()
    expected = sum((apart[i] * apart[i + 1]).sum() for i in range(3)) / 3
    value = loss(f_s, f_t)
    torch.testing.assert_close(value, expected)
    found = materials.gradients(value, [f_s, *loss.parameters()])
    assert all(g.abs().max() > 0 for g in found)
    torch.testing.assert_close(loss(f_s.bfloat16(), f_t.bfloat16()), value, rtol=0.05, atol=0)


def test_a_single_image_costs_nothing():
    f_s = torch.randn(1, 6, requires_grad=True)
    value = CCLoss(6, 9)(f_s, torch.randn(1, 9))
    assert value == 0
    materials.gradients(value, [f_s])


def test_the_method_compares_embeddings_and_refuses_batches_of_one():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    method = CC(materials.example(), feat_dim=16)
    value = method(student, teacher, materials.a_batch())
    assert value == method.loss(student.embedding, teacher.embedding)
    found = torch.autograd.grad(value, [student.embedding, teacher.embedding], allow_unused=True)
    assert found[0] is not None and found[1] is None
    with pytest.raises(UserError, match="--batch_size 1"):
        CC(materials.example(batch=1))
