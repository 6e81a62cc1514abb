"""SP: similarities between the images of a batch."""

import torch

from distiller_zoo.sp import SP, SPLoss
from tests.distiller_zoo import materials

LOSS = SPLoss()


def of_lists(f_s, f_t):
    return LOSS(f_s[0], f_t[0])


def test_scale_and_shape_do_not_count():
    (f_s,) = materials.maps([(6, 8, 8, 8)], "s")
    assert LOSS(f_s, f_s) == 0
    repeated = torch.cat([5 * f_s, 5 * f_s], dim=1)
    assert LOSS(f_s, repeated) < 1e-12
    assert LOSS(f_s, materials.maps([(6, 5, 4, 4)], "t")[0]).shape == ()


def test_forms_and_the_teacher():
    f_s, f_t = materials.maps([(6, 8, 8, 8)], "s"), materials.maps([(6, 5, 4, 4)], "t")
    materials.assert_indifferent_to_form(of_lists, f_s, f_t)
    materials.assert_teacher_is_constant(of_lists, f_s, f_t)


def test_a_sample_of_zeros_has_a_small_gradient():
    f_s = materials.maps([(6, 8, 8, 8)], "s")[0].detach().clone()
    f_s[2] = 0
    (found,) = materials.gradients(LOSS(f_s.requires_grad_(), materials.maps([(6, 5, 4, 4)], "t")[0]), [f_s])
    assert 0 < found[2].abs().max() < 1
    everything = torch.zeros(6, 8, 8, 8, requires_grad=True)
    materials.gradients(LOSS(everything, f_s), [everything])


def test_the_method_compares_the_last_maps():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = SP(materials.example())(student, teacher, materials.a_batch())
    assert value == LOSS(student.maps[-1], teacher.maps[-1])
    materials.gradients(value, student.preact[-1:])
