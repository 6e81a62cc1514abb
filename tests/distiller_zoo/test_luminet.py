"""LumiNet: statistics of the batch, and the pairs' settings."""

import pytest
import torch

from distiller_zoo.base import LossWeights
from distiller_zoo.luminet import LumiNet, LumiNetLoss, perceived
from tests.distiller_zoo import logit_losses as given


def loss(z_s, z_t, labels):
    return LumiNetLoss()(z_s, z_t)


def test_bears_what_a_run_can_bring():
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_offset_and_scale_of_a_class_do_not_count():
    z_s, z_t, labels = given.logits()
    scale, offset = torch.linspace(1, 3, given.CLASSES), torch.linspace(-5, 5, given.CLASSES)
    assert loss(z_t * scale + offset, z_t, labels).item() == pytest.approx(0, abs=1e-3)
    assert torch.allclose(perceived(z_s).mean(0), torch.zeros(given.CLASSES), atol=1e-5)


def test_one_image_costs_nothing():
    z_s, z_t, labels = given.logits(batch=1)
    assert given.finite_gradient(loss, z_s.detach(), z_t, labels)
    assert loss(z_s, z_t, labels).item() == 0


@pytest.mark.parametrize(
    ("pair", "flags", "expected", "gamma"),
    [
        (("resnet8x4", "resnet32x4"), {}, (33, 4), 2),
        (("wrn_40_1", "wrn_40_2"), {}, (75, 8), 1),
        (("resnet8", "vgg19"), {}, (70, 8), 1),
        (("resnet8", "vgg19"), {"luminet_alpha": 2.0, "luminet_T": 3.0}, (2, 3), 1),
    ],
)
def test_settings_are_the_pair_s_unless_given(pair, flags, expected, gamma):
    method = LumiNet(given.example(*pair), **flags)
    assert (method.loss.alpha, method.loss.T) == expected
    assert LumiNet.weights_for(*pair) == LossWeights(gamma, 0, 1)
