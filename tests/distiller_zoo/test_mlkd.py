"""MLKD: two views, three terms, and the medians that the published code takes on the CPU."""

import numpy as np
import pytest
import torch

from distiller_zoo.mlkd import MLKD, MLKDLoss, class_correlation, part_up_to_median
from tests.distiller_zoo import logit_losses as given
from tests.golden.formula import tensor


def total(z_s, z_t, labels, **settings):
    return sum(MLKDLoss(**settings)(z_s, z_t, z_s.flip(0), z_t.flip(0)).values())


@pytest.mark.parametrize("standardise", [False, True])
def test_bears_what_a_run_can_bring(standardise):
    def loss(*inputs):
        return total(*inputs, standardise=standardise)

    given.assert_bears_hard_logits(loss)
    given.assert_float32_from_bf16(loss)
    given.assert_teacher_is_constant(loss)


def test_equal_logits_cost_nothing():
    z, _, labels = given.logits()
    assert total(z, z, labels).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 100])
def test_the_part_up_to_the_median_is_numpy_s(count):
    for values in (tensor("values", (count,)), tensor("values", (count,)).round()):
        expected = np.mean(values.numpy() <= np.percentile(values.numpy(), 50))
        assert part_up_to_median(values).item() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_many_classes_are_compared_through_the_images_to_the_same_value_and_gradient(scale, monkeypatch):
    z_s, z_t, _ = given.logits()
    z_s = (z_t + scale * z_s).detach().requires_grad_()
    whole = class_correlation(z_s.double(), z_t.double(), 4.0)
    (expected,) = torch.autograd.grad(whole, z_s)
    monkeypatch.setattr("distiller_zoo.mlkd.MOST_CLASSES", 1)
    images = class_correlation(z_s, z_t, 4.0)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.double(), whole, rtol=1e-3, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(images, z_s)[0], expected, rtol=1e-2, atol=1e-9)


def outputs() -> tuple:
    return tuple(
        given.output(name=name)._replace(views={"strong": given.output(name=f"{name} strong")})
        for name in ("student", "teacher")
    )


def test_the_method_reads_both_views_and_names_its_terms():
    student, teacher = outputs()
    terms = MLKD(given.example(), mlkd_weight=2.0, mlkd_ce=3.0)(student, teacher, given.batch())
    plain = MLKDLoss()(
        student.logits, teacher.logits, student.views["strong"].logits, teacher.views["strong"].logits
    )
    assert {name: 2 * plain[name].item() for name in plain} == pytest.approx(
        {name: terms[name].item() for name in plain}
    )
    strong = torch.nn.functional.cross_entropy(student.views["strong"].logits, given.batch().labels)
    assert terms["ce_strong"].item() == pytest.approx(3 * strong.item())
    assert MLKD.views == ("strong",)


@pytest.mark.parametrize(
    ("pair", "flags", "expected"),
    [
        (("vgg8", "vgg13"), {}, (4, 0.9)),
        (("vgg8", "vgg13"), {"logit_stand": True}, (2, 6)),
        (("resnet8x4", "resnet32x4"), {"logit_stand": True}, (2, 9)),
        (("vgg8", "vgg13"), {"logit_stand": True, "kd_T": 3.0, "mlkd_weight": 0.0}, (3, 0)),
    ],
)
def test_settings_are_the_pair_s_unless_given(pair, flags, expected):
    method = MLKD(given.example(*pair), **flags)
    assert (method.loss.T, method.weight) == expected
    assert method.loss.standardise == MLKD.has_free_scale(**flags) == flags.get("logit_stand", False)
