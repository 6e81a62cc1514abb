"""AT: attention maps of student and teacher."""

import torch

from distiller_zoo.at import AT, ATLoss
from tests.distiller_zoo import materials

SHAPES_S = (4, 6, 16, 16), (4, 8, 8, 8)
SHAPES_T = (4, 12, 8, 8), (4, 16, 16, 16)


def test_only_where_a_map_is_active_counts():
    f_s = materials.maps(SHAPES_S, "s")
    assert ATLoss()(f_s, f_s) == 0
    wider = [torch.cat([3 * f, -3 * f], dim=1) for f in f_s]
    assert ATLoss()(f_s, wider) < 1e-12
    assert ATLoss()(f_s, materials.maps(SHAPES_T, "t")) > 1e-4


def test_sizes_forms_and_the_teacher():
    f_s, f_t = materials.maps(SHAPES_S, "s"), materials.maps(SHAPES_T, "t")
    for p in (1, 2, 3, 4):
        materials.assert_indifferent_to_form(ATLoss(p), f_s, f_t)
    materials.assert_teacher_is_constant(ATLoss(), f_s, f_t)
    with_surplus = [*f_s, torch.rand(4, 3, 2, 2)]
    assert ATLoss()(with_surplus, f_t) == ATLoss()(f_s, f_t)


def test_a_sample_of_zeros_has_finite_gradients():
    f_s = [f.detach().clone() for f in materials.maps(SHAPES_S, "s")]
    for f in f_s:
        f[1] = 0
        f.requires_grad_()
    for p in (1, 2, 3):
        found = materials.gradients(ATLoss(p)(f_s, materials.maps(SHAPES_T, "t")), f_s)
        assert all(g[1].abs().max() < 1 for g in found)


def test_the_method_compares_the_maps_of_all_stages():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = AT(materials.example())(student, teacher, materials.a_batch())
    assert value == ATLoss()(student.maps, teacher.maps)
    materials.gradients(value, student.preact)
