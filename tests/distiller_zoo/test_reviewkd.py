"""ReviewKD: the review, the hierarchical loss, and pairs of different depth and size."""

import dataclasses

import pytest
import torch

from distiller_zoo.reviewkd import HCLLoss, ReviewKD, ReviewKDLoss
from helper.errors import UserError
from tests.distiller_zoo import materials

STUDENT = (4, 12, 1, 1), (4, 8, 4, 4), (4, 6, 8, 8)
TEACHER = (4, 24, 1, 1), (4, 16, 8, 8), (4, 10, 16, 16)


def built() -> tuple[ReviewKDLoss, list[torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    loss = ReviewKDLoss([s[1] for s in STUDENT], [t[1] for t in TEACHER])
    return loss, materials.maps(STUDENT, "s"), materials.maps(TEACHER, "t")


def test_equal_maps_lose_nothing_in_the_hierarchical_loss():
    (value,) = materials.maps([(3, 4, 8, 8)], "x")
    assert HCLLoss()(value, value) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_a_constant_difference_counts_once_whatever_the_size(size):
    ones = torch.ones(2, 3, size, size)
    torch.testing.assert_close(HCLLoss()(ones, torch.zeros_like(ones)), torch.tensor(1.0))


def test_opposite_differences_vanish_in_coarser_grids():
    sign = torch.tensor([1.0, -1.0]).repeat(4)
    f_s = (sign[:, None] * sign[None, :]).expand(2, 3, 8, 8)
    weights = 1 + 1 / 2 + 1 / 4 + 1 / 8
    torch.testing.assert_close(HCLLoss()(f_s, torch.zeros(2, 3, 8, 8)), torch.tensor(1 / weights))


def test_fused_maps_have_the_teachers_shapes():
    loss, f_s, f_t = built()
    assert [m.shape for m in loss.review(f_s, f_t)] == [m.shape for m in f_t]


def test_form_teacher_and_gradients():
    loss, f_s, f_t = built()
    materials.assert_teacher_is_constant(loss, f_s, f_t)
    materials.assert_indifferent_to_form(loss, f_s, f_t)
    materials.gradients(loss(f_s, f_t), list(loss.parameters()))
    materials.gradients(
        loss([torch.zeros_like(m).requires_grad_() for m in f_s], f_t), list(loss.parameters())
    )


def test_a_shallow_stage_learns_from_the_deep_ones_too():
    loss, f_s, f_t = built()
    last = HCLLoss()(loss.review(f_s, f_t)[-1], f_t[-1])
    assert all(gradient.abs().sum() > 0 for gradient in materials.gradients(last, f_s))


@pytest.mark.parametrize("teacher", [materials.TEACHER, materials.TEACHER[1:], ((8, 32), *materials.TEACHER)])
def test_method_serves_networks_of_any_depth(teacher):
    method = ReviewKD(materials.example(teacher=teacher))
    student, target = materials.output(materials.STUDENT, "s"), materials.output(teacher, "t")
    loss = method(student, target, materials.a_batch())
    materials.gradients(loss, [*student.preact[-2:], student.embedding])


def test_weights_of_pairs():
    assert ReviewKD.weights_for("resnet20", "resnet56") == (1.0, 0.0, 0.6)
    assert ReviewKD.weights_for("ShuffleV2", "resnet32x4").beta == 8.0
    assert ReviewKD.weights_for("vgg8", "vgg13").beta == 5.0


def test_what_it_cannot_serve_is_said():
    with pytest.raises(UserError, match="--batch_size 1 is too small"):
        ReviewKD(materials.example(batch=1))
    example = materials.example()
    without = dataclasses.replace(example, teacher=example.teacher._replace(preact=[]))
    with pytest.raises(UserError, match="before the ReLU"):
        ReviewKD(without)
