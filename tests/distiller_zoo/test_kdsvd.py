"""KDSVD: principal directions with signs of their own, and gradients that stay finite."""

from itertools import pairwise

import pytest
import torch

from distiller_zoo.kdsvd import KDSVD, KDSVDLoss, right_singular_vectors
from helper.errors import UserError
from tests.distiller_zoo import materials

SHAPES = (3, 5, 8, 8), (3, 7, 4, 4), (3, 20, 3, 3)


def plain(f_s: list[torch.Tensor], f_t: list[torch.Tensor], k: int) -> torch.Tensor:
    """The formula with a full SVD and torch's own gradient of it."""
    levels = []
    for s, t in zip(f_s, f_t, strict=True):
        _, values, v_t = torch.linalg.svd(t.flatten(2).transpose(1, 2), full_matrices=False)
        v_t = v_t.mT[:, :, :k]
        v_t = v_t * torch.where(v_t.sum(1, keepdim=True) < 0, -1.0, 1.0)
        v_s = torch.linalg.svd(s.flatten(2).transpose(1, 2), full_matrices=False)[2].mT[:, :, : k + 3]
        agreement = v_s.detach().mT @ v_t
        chosen = torch.zeros_like(agreement).scatter_(1, agreement.abs().argmax(1, keepdim=True), 1.0)
        weight = torch.nn.functional.normalize(values[:, :k], dim=1)[:, None]
        levels.append(((v_s @ (chosen * agreement.sign())) * weight, v_t * weight))
    total = 0.0
    for (lower_s, lower_t), (upper_s, upper_t) in pairwise(levels):
        r_s, r_t = (
            torch.exp(-((upper[:, :, None] - lower[:, None]) ** 2) / 8)
            for upper, lower in ((upper_s, lower_s), (upper_t, lower_t))
        )
        total = total + (r_s - r_t).square().sum() / len(r_s)
    return total


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("relu", [False, True])
def test_value_and_gradients_are_those_of_a_full_decomposition(k, relu):
    f_s, f_t = materials.maps(SHAPES, "s", relu), materials.maps(SHAPES, "t", relu)
    f_s, f_t = ([f.detach().double().requires_grad_() for f in fs] for fs in (f_s, f_t))
    value, expected = KDSVDLoss(k)(f_s, f_t), plain(f_s, [f.detach() for f in f_t], k)
    torch.testing.assert_close(value, expected)
    for own, other in zip(torch.autograd.grad(value, f_s), torch.autograd.grad(expected, f_s), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-12)


def test_no_sign_is_left_to_the_library():
    f_s, f_t = materials.maps(SHAPES, "s"), materials.maps(SHAPES, "t")
    value = KDSVDLoss(2)(f_s, f_t)
    torch.testing.assert_close(KDSVDLoss(2)([-f for f in f_s], [-f_t[0], *f_t[1:]]), value)
    assert KDSVDLoss(2)(f_s, f_s) < 1e-8


@pytest.mark.parametrize("over", ["channels", "width"])
def test_forms_and_the_teacher(over):
    f_s, f_t = materials.maps(SHAPES, "s", relu=True), materials.maps(SHAPES, "t", relu=True)
    materials.assert_indifferent_to_form(KDSVDLoss(1, over), f_s, f_t)
    materials.assert_teacher_is_constant(KDSVDLoss(1, over), f_s, f_t)


def broken(kind: str) -> list[torch.Tensor]:
    f_s = [f.detach().clone() for f in materials.maps(SHAPES, "s", relu=True)]
    for f in f_s:
        if kind == "zero":
            f[1] = 0
        elif kind == "rank one":
            f[1] = torch.rand(f.shape[1])[:, None, None] * torch.rand(f.shape[2:])
        elif kind == "constant":
            f[1] = 1.0
        else:
            f[:, :2] = 0
    return [f.requires_grad_() for f in f_s]


@pytest.mark.parametrize("kind", ["zero", "rank one", "constant", "dead channels"])
def test_maps_of_low_rank_have_finite_gradients(kind):
    for k in (1, 2):
        f_s = broken(kind)
        found = materials.gradients(KDSVDLoss(k)(f_s, materials.maps(SHAPES, "t", relu=True)), f_s)
        assert all(g.abs().max() < 0.1 for g in found)
        f_t = materials.maps(SHAPES, "t")
        materials.gradients(KDSVDLoss(k)(f_t, f_s), f_t)


def test_the_largest_singular_values_come_first():
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    for matrix in (x, x.mT):
        values, vectors = right_singular_vectors(matrix, 4)
        _, expected, right = torch.linalg.svd(matrix, full_matrices=False)
        torch.testing.assert_close(values, expected[:, :4])
        torch.testing.assert_close(
            (vectors.mT @ right.mT[:, :, :4]).abs(), torch.eye(4).double().expand(2, 4, 4)
        )


def test_the_method_and_the_pairs_that_it_refuses():
    with pytest.raises(UserError, match=r"kdsvd needs the same channels.*stage 1 has 8.*16"):
        KDSVD(materials.example())
    with pytest.raises(UserError, match="--kdsvd_k 9 is too large"):
        KDSVD(materials.example(materials.STUDENT, materials.STUDENT), kdsvd_k=9)
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = KDSVD(materials.example(), kdsvd_over="width")(student, teacher, materials.a_batch())
    assert value == KDSVDLoss(1, "width")(student.maps, teacher.maps)
    materials.gradients(value, student.preact)


def test_fp32_is_enough_for_the_second_direction_of_maps_after_their_relu():
    shapes = [(4, 16, 32, 32), (4, 32, 16, 16), (4, 64, 8, 8)]
    f_s, f_t = materials.maps(shapes, "s", relu=True), materials.maps(shapes, "t", relu=True)
    exact_s = [f.detach().double().requires_grad_() for f in f_s]
    value, exact = KDSVDLoss(2)(f_s, f_t), KDSVDLoss(2)(exact_s, [f.double() for f in f_t])
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)
    for own, other in zip(torch.autograd.grad(value, f_s), torch.autograd.grad(exact, exact_s), strict=True):
        assert (own - other).norm() < 1e-4 * other.norm()
