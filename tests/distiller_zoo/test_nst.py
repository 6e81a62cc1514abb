"""NST: the discrepancy between the channels of two maps."""

import pytest
import torch
import torch.nn.functional as F

from distiller_zoo.nst import NST, NSTLoss, discrepancy
from tests.distiller_zoo import materials

FEW_CHANNELS = (4, 6, 8, 8), (4, 5, 16, 16)
MANY_CHANNELS = (4, 20, 4, 4), (4, 30, 4, 4)


def written_out(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The kernel of every pair of channels."""

    def kernel(a, b):
        return (a[:, :, None] * b[:, None]).sum(-1).square().mean()

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)


@pytest.mark.parametrize(("c_x", "c_y", "size"), [(3, 7, 40), (30, 20, 9), (20, 30, 16)])
def test_both_ways_of_computing_it_are_the_kernel_written_out(c_x, c_y, size):
    torch.manual_seed(0)
    x = F.normalize(torch.randn(2, c_x, size, dtype=torch.float64), dim=2).requires_grad_()
    y = F.normalize(torch.randn(2, c_y, size, dtype=torch.float64), dim=2)
    value, expected = discrepancy(x, y), written_out(x, y)
    torch.testing.assert_close(value, expected)
    for own, other in zip(torch.autograd.grad(value, x), torch.autograd.grad(expected, x), strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("shapes", [FEW_CHANNELS, MANY_CHANNELS])
def test_equality_forms_and_the_teacher(shapes):
    f_s, f_t = materials.maps(shapes, "s"), materials.maps(FEW_CHANNELS, "t")
    assert NSTLoss()(f_s, f_s) == 0
    materials.assert_indifferent_to_form(NSTLoss(), f_s, f_t)
    materials.assert_teacher_is_constant(NSTLoss(), f_s, f_t)


@pytest.mark.parametrize("shapes", [FEW_CHANNELS, MANY_CHANNELS])
def test_dead_channels_and_samples_have_small_gradients(shapes):
    f_s = [f.detach().clone() for f in materials.maps(shapes, "s")]
    for f in f_s:
        f[1] = 0
        f[:, 2] = 0
        f.requires_grad_()
    found = materials.gradients(NSTLoss()(f_s, materials.maps(shapes, "t")), f_s)
    assert all(g.abs().max() < 1 for g in found)


def test_the_method_compares_the_maps_of_all_stages():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = NST(materials.example())(student, teacher, materials.a_batch())
    assert value == NSTLoss()(student.maps, teacher.maps)
    materials.gradients(value, student.preact)
