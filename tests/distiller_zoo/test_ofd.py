"""OFD: its margins, where it pulls and where it does not, and the alignment of unequal networks."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from distiller_zoo.ofd import OFD, OFDLoss, margin_of, partial_distance
from helper.errors import UserError
from tests.distiller_zoo import materials


def norm_of(scales: list[float], biases: list[float]) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(scales))
    norm.weight, norm.bias = nn.Parameter(torch.tensor(scales)), nn.Parameter(torch.tensor(biases))
    return norm


def test_margins():
    values = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0)) * 0.7 + 0.2
    margins = margin_of(norm_of([0.7, -0.7, 0.1, 0.0, 0.0, 0.0], [0.2, 0.2, 5.0, 1.0, -1.0, 0.0]))
    assert margins[0] == margins[1] == pytest.approx(float(values[values < 0].mean()), abs=2e-3)
    assert margins[2] == pytest.approx(-0.3)
    assert margins[3:].tolist() == pytest.approx([0.0, -1.0, 0.0], abs=1e-6)


def test_a_value_below_a_negative_target_costs_nothing():
    target = torch.tensor([1.0, 1.0, -0.2, -0.2, -2.0, -2.0, -2.0]).reshape(1, 1, 1, 7)
    value = torch.tensor([0.0, 3.0, -1.0, 0.5, -3.0, 0.0, -0.7]).reshape(1, 1, 1, 7)
    expected = [1.0, 4.0, 0.0, 0.49, 0.0, 0.25, 0.0]
    margin = torch.tensor(-0.5).reshape(1, 1, 1, 1)
    each = [partial_distance(v, t, margin) for v, t in zip(value.flatten(), target.flatten(), strict=True)]
    assert [float(e) for e in each] == pytest.approx(expected)
    assert float(partial_distance(value, target, margin)) == pytest.approx(math.fsum(expected))


def test_gradients_forms_and_the_teacher():
    torch.manual_seed(0)
    shapes_s, shapes_t = [(4, 6, 16, 16), (4, 8, 8, 8)], [(4, 12, 16, 16), (4, 16, 4, 4)]
    f_s, f_t = materials.maps(shapes_s, "s"), materials.maps([shapes_t[0], (4, 16, 16, 16)], "t")
    loss = OFDLoss([6, 8], [torch.full((12,), -0.5), torch.full((16,), -0.4)])
    materials.assert_indifferent_to_form(loss, f_s, f_t)
    materials.assert_teacher_is_constant(loss, f_s, f_t)
    materials.gradients(loss(f_s, materials.maps(shapes_t, "t")), f_s)  # a teacher's map smaller than it
    zero = [torch.zeros(shape, requires_grad=True) for shape in shapes_s]
    materials.gradients(loss(zero, f_t), [*zero, *loss.parameters()])


def test_the_last_maps_belong_together():
    example = materials.example(materials.STUDENT[:1] + materials.STUDENT[2:], materials.TEACHER)
    method = OFD(example)
    norms = example.teacher_network.norms_before_relu()
    torch.testing.assert_close(method.loss.margin0.flatten(), margin_of(norms[1]))
    torch.testing.assert_close(method.loss.margin1.flatten(), margin_of(norms[2]))
    student = materials.output(materials.STUDENT[:1] + materials.STUDENT[2:], "s")
    teacher = materials.output(materials.TEACHER, "t")
    value = method(student, teacher, materials.a_batch())
    torch.testing.assert_close(value, method.loss(student.preact, teacher.preact[1:]))
    materials.gradients(value, student.preact)


def test_a_teacher_without_batch_norms_is_refused():
    example = materials.example()
    with pytest.raises(UserError, match="ofd needs the batch norm"):
        OFD(replace(example, teacher_network=nn.Linear(3, 3)))
