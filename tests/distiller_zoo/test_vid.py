"""VID: the likelihood of the teacher's maps."""

import math

import pytest
import torch

from distiller_zoo.vid import VID, VIDLoss
from tests.distiller_zoo import materials


def test_the_variance_starts_where_asked_and_the_loss_is_a_likelihood():
    loss = VIDLoss(4, 6, init_pred_var=2.0)
    f_s, f_t = torch.rand(3, 4, 8, 8), torch.rand(3, 6, 8, 8)
    normal = torch.distributions.Normal(loss.regressor(f_s), math.sqrt(2.0))
    expected = -normal.log_prob(f_t).mean() - math.log(2 * math.pi) / 2
    torch.testing.assert_close(loss(f_s, f_t), expected)


@pytest.mark.parametrize("scale", [-100.0, 100.0, 1000.0])
def test_extreme_variances_stay_finite(scale):
    loss = VIDLoss(4, 6)
    torch.nn.init.constant_(loss.log_scale, scale)
    materials.gradients(loss(torch.rand(3, 4, 8, 8), torch.rand(3, 6, 4, 4)), list(loss.parameters()))


def test_forms_sizes_and_the_teacher():
    torch.manual_seed(0)
    losses = VIDLoss(4, 6), VIDLoss(5, 7)

    def summed(f_s, f_t):
        return sum(loss(s, t) for loss, s, t in zip(losses, f_s, f_t, strict=True))

    f_s = materials.maps([(3, 4, 16, 16), (3, 5, 4, 4)], "s")
    f_t = materials.maps([(3, 6, 8, 8), (3, 7, 8, 8)], "t")
    materials.assert_indifferent_to_form(summed, f_s, f_t)
    materials.assert_teacher_is_constant(summed, f_s, f_t)


def test_the_method_has_layers_for_each_pair_of_stages():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER[:3], "t")
    method = VID(materials.example(teacher=materials.TEACHER[:3]))
    value = method(student, teacher, materials.a_batch())
    assert len(method.losses) == 2
    expected = sum(
        loss(s, t) for loss, s, t in zip(method.losses, student.maps[:2], teacher.maps, strict=True)
    )
    torch.testing.assert_close(value, expected)
    materials.gradients(value, [*student.preact[:2], *method.parameters()])
