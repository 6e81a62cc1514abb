"""Standardised logits, in KD: what they forget, what they keep, and the published weights."""

import pytest
import torch

from distiller_zoo.base import LossWeights
from distiller_zoo.kd import KD, DistillKL
from distiller_zoo.standardise import standardised
from tests.distiller_zoo import logit_losses as given


def loss(z_s, z_t, labels):
    return DistillKL(2.0, standardise=True)(z_s, z_t)


def test_bears_what_a_run_can_bring():
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_rows_get_mean_0_and_unbiased_deviation_1():
    z = standardised(given.logits()[0])
    assert torch.allclose(z.mean(1), torch.zeros(len(z)), atol=1e-6)
    assert torch.allclose(z.std(1), torch.ones(len(z)), atol=1e-5)


def test_scale_and_offset_do_not_count():
    z_s, z_t, labels = given.logits()
    assert loss(5 * z_t - 3, z_t, labels).item() == pytest.approx(0, abs=1e-5)
    assert loss(3 * z_s + 1, z_t, labels).item() == pytest.approx(loss(z_s, z_t, labels).item(), rel=1e-4)


def test_a_row_of_equal_logits_gets_no_gradient():
    z = torch.full((2, 5), 3.0, requires_grad=True)
    (standardised(z) * torch.arange(5.0)).sum().backward()
    assert torch.equal(z.grad, torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("pair", "flags", "temperature", "weights"),
    [
        (("resnet8x4", "resnet32x4"), {}, 4, (1, 1, 0)),
        (("resnet8x4", "resnet32x4"), {"logit_stand": True}, 2, (0.1, 9, 0)),
        (("resnet20", "resnet110"), {"logit_stand": True}, 4, (0.1, 12, 0)),
        (("MobileNetV2", "ResNet50"), {"logit_stand": True}, 3, (0.1, 1, 0)),
        (("resnet8", "vgg19"), {"logit_stand": True}, 2, (0.1, 9, 0)),
        (("resnet8", "vgg19"), {"logit_stand": True, "kd_T": 5.0}, 5, (0.1, 9, 0)),
    ],
)
def test_settings_are_the_pair_s_unless_given(pair, flags, temperature, weights):
    method = KD(given.example(*pair), **flags)
    stand = flags.get("logit_stand", False)
    assert temperature == method.loss.T
    assert method.loss.standardise == KD.has_free_scale(**flags) == stand
    assert KD.weights_for(*pair, **flags) == LossWeights(*weights)
    beside = KD.kd_loss(*pair, **flags)
    assert (beside.T, beside.standardise) == (temperature, stand)
