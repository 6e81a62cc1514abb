"""FSP: the flows, and a first stage that trains stem and stages only."""

import pytest
import torch

from distiller_zoo.fsp import FSP, FSPLoss, flows
from helper.errors import UserError
from tests.distiller_zoo import materials

SHAPES = (4, 6, 16, 16), (4, 8, 8, 8), (4, 10, 4, 4)
SAME = materials.STUDENT


def test_equal_maps_lose_nothing_and_sizes_may_differ():
    f_s, f_t = materials.maps(SHAPES, "s"), materials.maps(SHAPES, "t")
    assert FSPLoss()(f_s, f_s) == 0
    larger = materials.maps([(b, c, 2 * h, 2 * w) for b, c, h, w in SHAPES], "t")
    materials.gradients(FSPLoss()(f_s, larger), f_s)
    materials.assert_indifferent_to_form(FSPLoss(), f_s, f_t)
    materials.assert_teacher_is_constant(FSPLoss(), f_s, f_t)


def test_a_flow_is_the_mean_product_over_positions():
    lower, upper = torch.rand(2, 3, 8, 8), torch.rand(2, 5, 4, 4)
    small = torch.nn.functional.avg_pool2d(lower, 2)
    expected = torch.einsum("bihw,bjhw->bij", upper, small) / 16
    torch.testing.assert_close(flows([lower, upper])[0], expected)


def test_a_zero_map_has_finite_gradients():
    f_s = [torch.zeros(shape, requires_grad=True) for shape in SHAPES]
    materials.gradients(FSPLoss()(f_s, materials.maps(SHAPES, "t")), f_s)


def test_other_channels_are_refused():
    with pytest.raises(UserError, match=r"fsp needs the same channels.*\[8, 8, 16, 32\]"):
        FSP(materials.example())
    with pytest.raises(ValueError, match="channels"):
        FSPLoss()(materials.maps(SHAPES, "s"), materials.maps(SHAPES[:2], "t"))


def test_the_first_stage_trains_stem_and_stages_and_the_second_adds_nothing():
    example = materials.example(SAME, SAME)
    method, network = FSP(example), example.student_network.train()
    trained = set(method.pretrained_parameters(network))
    assert trained == {*network.stem.parameters(), *network.stages.parameters()}
    assert network.training and all(p.grad is None for p in network.parameters())
    student, teacher = materials.output(SAME, "s"), materials.output(SAME, "t")
    value = method.pretrain(student, teacher, materials.a_batch())
    maps = [student.stem, *student.maps], [teacher.stem, *teacher.maps]
    torch.testing.assert_close(value, FSPLoss()(*maps))
    assert method(student, teacher, materials.a_batch()) == 0
