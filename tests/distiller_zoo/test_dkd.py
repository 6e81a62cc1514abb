"""DKD: its parts, its table of published weights, and logits that are hard to bear."""

import pytest
import torch

from distiller_zoo.dkd import DKD, DKDLoss, decoupled
from distiller_zoo.kd import DistillKL
from tests.distiller_zoo import logit_losses as given


@pytest.mark.parametrize("standardise", [False, True])
def test_bears_what_a_run_can_bring(standardise):
    loss = DKDLoss(standardise=standardise)
    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_equal_logits_cost_nothing():
    z, _, labels = given.logits()
    assert DKDLoss()(z, z, labels).item() == pytest.approx(0, abs=1e-5)


def test_the_parts_make_up_kd():
    """Equation 6: KD is TCKD + (1 - p_t of the target) NCKD."""
    z_s, z_t, labels = given.logits()
    of_target, of_others = decoupled(z_s, z_t, labels, T=4.0)
    rest = 1 - (z_t / 4).softmax(1).gather(1, labels[:, None])[:, 0]
    assert (of_target + rest * of_others).mean().item() == pytest.approx(
        DistillKL(4.0)(z_s, z_t).item(), rel=1e-5
    )


def test_the_temperature_gets_a_finite_gradient():
    z_s, z_t, labels = given.logits()
    T = torch.tensor(4.0, requires_grad=True)
    sum(part.mean() for part in decoupled(z_s, z_t, labels, T)).backward()
    assert T.grad.isfinite()


@pytest.mark.parametrize(
    ("pair", "flags", "expected"),
    [
        (("resnet8x4", "resnet32x4"), {}, (1, 8, 4)),
        (("vgg8", "vgg13"), {}, (1, 6, 4)),
        (("resnet20", "resnet56"), {}, (1, 2, 4)),
        (("resnet8", "vgg19"), {}, (1, 8, 4)),
        (("resnet20", "resnet56"), {"dkd_beta": 0.0, "dkd_alpha": 3.0, "kd_T": 2.0}, (3, 0, 2)),
        (("resnet20", "resnet56"), {"logit_stand": True}, (18, 36, 3)),
        (("resnet8", "vgg19"), {"logit_stand": True}, (9, 18, 2)),
        (("resnet20", "resnet56"), {"logit_stand": True, "dkd_beta": 1.0, "kd_T": 4.0}, (18, 1, 4)),
    ],
)
def test_settings_are_the_pair_s_unless_given(pair, flags, expected):
    method = DKD(given.example(*pair), **flags)
    assert (method.loss.alpha, method.loss.beta, method.loss.T) == expected
    assert method.loss.standardise == DKD.has_free_scale(**flags) == flags.get("logit_stand", False)


def test_the_method_is_its_loss():
    student, teacher, batch = given.output(), given.output(name="teacher"), given.batch()
    method = DKD(given.example())
    assert torch.equal(
        method(student, teacher, batch), DKDLoss()(student.logits, teacher.logits, batch.labels)
    )
