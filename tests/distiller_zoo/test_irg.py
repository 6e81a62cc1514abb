"""IRG: graphs of images and how they change between stages."""

import pytest
import torch

from distiller_zoo.irg import IRG, IRGLoss, distances
from helper.errors import UserError
from tests.distiller_zoo import materials

SHAPES_S = (6, 16), (6, 4, 8, 8), (6, 4, 8, 8), (6, 8, 4, 4)
SHAPES_T = (6, 24), (6, 8, 8, 8), (6, 8, 8, 8), (6, 16, 4, 4)


def of_lists(f_s, f_t):
    return IRGLoss(w_transform=100.0)(f_s[0], f_t[0], f_s[1:], f_t[1:])


def test_distances_do_not_depend_on_scale_or_place():
    (f,) = materials.maps([(6, 16)], "s")
    expected = torch.cdist(f.double(), f.double()).square()
    torch.testing.assert_close(distances(f).double(), expected / expected.max(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(distances(f), distances(3 * f + 5), rtol=1e-4, atol=1e-5)
    assert IRGLoss()(f, f) == 0


def test_the_terms_and_where_they_come_from():
    f_s, f_t = materials.maps(SHAPES_S, "s"), materials.maps(SHAPES_T, "t")
    graph, change = IRGLoss().terms(f_s[0], f_t[0], f_s[1:], f_t[1:])
    assert IRGLoss()(f_s[0], f_t[0]) == graph
    assert IRGLoss(edges=False).terms(f_s[0], f_t[0], f_s[1:], f_t[1:])[1] < change
    # the last of three layers has no partner
    assert torch.autograd.grad(change, f_s[3], allow_unused=True)[0] is None
    same = IRGLoss()(f_s[0], f_s[0] + 1.0)
    torch.testing.assert_close(same, torch.tensor(1.0), rtol=1e-4, atol=0)


def test_forms_and_the_teacher():
    f_s, f_t = materials.maps(SHAPES_S[1:3], "s"), materials.maps(SHAPES_T[1:3], "t")

    def of_maps(own, theirs):
        return IRGLoss()(own[0], theirs[0], own, theirs)

    materials.assert_indifferent_to_form(of_maps, f_s, f_t)
    f_s, f_t = materials.maps(SHAPES_S[:3], "s"), materials.maps(SHAPES_T[:3], "t")
    materials.assert_teacher_is_constant(of_lists, f_s, f_t)


def test_equal_images_have_no_gradient():
    f_s = torch.ones(6, 16, requires_grad=True)
    (found,) = materials.gradients(IRGLoss()(f_s, materials.maps([(6, 24)], "t")[0]), [f_s])
    assert found.abs().max() == 0
    f_s = materials.maps([(6, 16)], "s")[0].detach().clone()
    f_s[1] = f_s[0]
    f_s[2] = 0
    materials.gradients(IRGLoss()(f_s.requires_grad_(), materials.maps([(6, 24)], "t")[0]), [f_s])


def test_the_method_counts_stages_from_the_last():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    batch = materials.a_batch()
    plain = IRG(materials.example())(student, teacher, batch)
    assert plain == IRGLoss()(student.embedding, teacher.embedding)
    value = IRG(materials.example(), irg_transform=True)(student, teacher, batch)
    expected = IRGLoss()(student.embedding, teacher.embedding, student.maps[1:], teacher.maps[1:])
    assert value == expected != plain
    with pytest.raises(UserError, match="--batch_size 1"):
        IRG(materials.example(batch=1))
    with pytest.raises(UserError, match="--irg_transform"):
        IRG(materials.example(materials.STUDENT[:2], materials.TEACHER[:2]), irg_transform=True)
