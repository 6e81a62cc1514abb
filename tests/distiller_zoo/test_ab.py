"""AB: activation boundaries, connectors, and a first stage of its own."""

import pytest
import torch

from distiller_zoo.ab import AB, ABLoss, Connector
from helper.errors import UserError
from tests.distiller_zoo import materials

SHAPES = (4, 6, 16, 16), (4, 8, 8, 8)


def test_only_the_side_of_the_boundary_counts():
    t = torch.tensor([0.1, 5.0, -0.1, 0.0]).reshape(1, 4, 1, 1)
    far = torch.tensor([1.0, 9.0, -1.0, -7.0]).reshape(1, 4, 1, 1)
    assert ABLoss()([far], [t]) == 0
    near = torch.tensor([0.5, -1.0, 0.0, 2.0]).reshape(1, 4, 1, 1)
    assert float(ABLoss()([near], [t])) == pytest.approx(0.003 * (0.25 + 4 + 1 + 9))
    assert float(ABLoss()([near, near], [t, t])) == pytest.approx(1.5 * 0.003 * 14.25)
    assert float(ABLoss(margin=2.0)([near], [t])) == pytest.approx(0.003 * (2.25 + 9 + 4 + 16))


def test_forms_and_the_teacher():
    f_s, f_t = materials.maps(SHAPES, "s"), materials.maps(SHAPES, "t")
    materials.assert_indifferent_to_form(ABLoss(), f_s, f_t)
    materials.assert_teacher_is_constant(ABLoss(), f_s, f_t)
    zero = [torch.zeros(shape, requires_grad=True) for shape in SHAPES]
    materials.gradients(ABLoss()(zero, zero), zero)


@pytest.mark.parametrize("size", [(8, 8), (16, 8), (4, 8), (11, 8), (8, 4)])
def test_connectors_give_the_teachers_shape(size):
    before, after = size
    connector = Connector((2, 5, before, before), (2, 7, after, after))
    assert connector(torch.rand(2, 5, before, before).bfloat16()).shape == (2, 7, after, after)
    same = Connector((2, 5, before, before), (2, 5, before, before))
    assert not list(same.parameters())


def test_pairs_that_cannot_be_connected_are_refused():
    with pytest.raises(UserError, match=r"as many stages.*small has 3 and larger 2"):
        AB(materials.example(teacher=materials.TEACHER[:3]))
    with pytest.raises(UserError, match="no connector from a map of 4 x 4 to one of 16 x 16"):
        AB(materials.example(((8, 4), (8, 4)), ((8, 16), (8, 16))))


def test_the_first_stage_trains_maps_and_connectors_and_the_second_adds_nothing():
    example = materials.example()
    method, network = AB(example), example.student_network
    trained = set(method.pretrained_parameters(network))
    expected = {*network.stem.parameters(), *network.stages.parameters(), *method.parameters()}
    assert trained == expected
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = method.pretrain(student, teacher, materials.a_batch())
    assert all(
        g.abs().max() > 0
        for g in materials.gradients(value, [*student.preact, method.connectors[0].conv.weight])
    )
    assert method(student, teacher, materials.a_batch()) == 0
    assert not list(method.trained_parameters())
