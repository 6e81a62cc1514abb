"""ICKD: correlations of channels, maps of different sizes, dead channels."""

import torch

from distiller_zoo.ickd import ICKD, ICKDLoss, channel_correlations
from tests.distiller_zoo import materials


def test_equal_maps_lose_nothing_and_places_do_not_matter():
    loss = ICKDLoss(5, 7)
    f_s, f_t = materials.maps([(4, 5, 8, 8), (4, 7, 8, 8)], "m")
    own = loss.norm(loss.conv(f_s))
    assert loss(f_s, own) < 1e-10
    torch.testing.assert_close(loss(f_s, f_t.flip(3)), loss(f_s, f_t))


def test_form_teacher_and_gradients():
    torch.manual_seed(0)
    loss = ICKDLoss(5, 7)
    for size in (8, 4):
        f_s, f_t = materials.maps([(4, 5, 8, 8), (4, 7, size, size)], "m")

        def on_lists(a: list, b: list) -> torch.Tensor:
            return loss(a[0], b[0])

        materials.assert_indifferent_to_form(on_lists, [f_s], [f_t])
        materials.assert_teacher_is_constant(on_lists, [f_s], [f_t])


def test_correlations_are_cosines_per_row():
    (f,) = materials.maps([(2, 3, 4, 4)], "x", relu=True)
    found = channel_correlations(f)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(2, 3))
    flat = f.flatten(2)
    products = flat @ flat.mT
    torch.testing.assert_close(found[1, 0, 1] / found[1, 0, 2], products[1, 0, 1] / products[1, 0, 2])


def test_dead_channels_have_finite_gradients():
    dead = torch.zeros(4, 5, 8, 8, requires_grad=True)
    materials.gradients(ICKDLoss(5, 7)(dead, torch.zeros(4, 7, 8, 8)), [dead])
    torch.testing.assert_close(channel_correlations(dead), torch.zeros(4, 5, 5))


def test_method_on_two_networks():
    method = ICKD(materials.example())
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    materials.gradients(method(student, teacher, materials.a_batch()), [student.preact[-1]])
