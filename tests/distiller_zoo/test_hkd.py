"""HKD: shares of similarity at every stage, computed so that fp32 is enough."""

import pytest
import torch

from distiller_zoo.hkd import HKD, HKDLoss, similarities
from tests.distiller_zoo import materials

SHAPES_S = (6, 16, 16, 16), (6, 8, 8, 8)
SHAPES_T = (6, 20, 8, 8), (6, 30, 4, 4)


def test_equality_weights_and_surplus_maps():
    f_s, f_t = materials.maps(SHAPES_S, "s"), materials.maps(SHAPES_T, "t")
    assert HKDLoss()(f_s, f_s) == 0
    first, second = HKDLoss().pairs(f_s, f_t)
    torch.testing.assert_close(HKDLoss(7.0)(f_s, f_t), 7.0 * first + second)
    assert HKDLoss()([*f_s, torch.rand(6, 3)], f_t) == HKDLoss()(f_s, f_t)


def test_fp32_agrees_with_float64_on_large_maps():
    f_s, f_t = materials.maps(SHAPES_S, "s", relu=True), materials.maps(SHAPES_T, "t", relu=True)
    exact = HKDLoss()([f.double() for f in f_s], [f.double() for f in f_t])
    torch.testing.assert_close(HKDLoss()(f_s, f_t).double(), exact, rtol=1e-4, atol=0)
    assert similarities(f_s[0])[1].diagonal().tolist() == pytest.approx([1 / 1.001] * 6, rel=1e-6)


def test_forms_and_the_teacher():
    f_s, f_t = materials.maps(SHAPES_S, "s"), materials.maps(SHAPES_T, "t")
    materials.assert_indifferent_to_form(HKDLoss(), f_s, f_t)
    materials.assert_teacher_is_constant(HKDLoss(), f_s, f_t)


def test_zero_equal_and_opposite_images_have_finite_gradients():
    f_t = materials.maps(SHAPES_T, "t")
    f_s = [f.detach().clone() for f in materials.maps(SHAPES_S, "s")]
    for f in f_s:
        f[1] = 0
        f[3] = f[2]
        f[5] = -100 * f[4]
        f.requires_grad_()
    found = materials.gradients(HKDLoss()(f_s, f_t), f_s)
    assert all(g[0].abs().max() > 0 for g in found)
    materials.gradients(HKDLoss()(f_t, f_s), f_t)
    nothing = [torch.zeros(shape, requires_grad=True) for shape in SHAPES_S]
    materials.gradients(HKDLoss()(nothing, f_t), nothing)


def test_the_method_compares_the_maps_of_all_stages():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = HKD(materials.example(), hkd_initial_weight=3.0)(student, teacher, materials.a_batch())
    assert value == HKDLoss(3.0)(student.maps, teacher.maps)
    materials.gradients(value, student.preact)
