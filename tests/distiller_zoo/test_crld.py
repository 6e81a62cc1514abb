"""CRLD: two views, and images of which the teacher is not sure enough."""

import pytest
import torch

from distiller_zoo.crld import CRLD, CRLDLoss
from tests.distiller_zoo import logit_losses as given


def total(z_s, z_t, labels):
    return sum(CRLDLoss(4.0, 0.0, 0.0)(z_s, z_t, z_s.flip(0), z_t.flip(0)).values())


def test_bears_what_a_run_can_bring():
    given.assert_bears_hard_logits(total)
    given.assert_float32_from_bf16(total)
    given.assert_teacher_is_constant(total)


def test_equal_logits_cost_nothing():
    z, _, _ = given.logits()
    assert sum(CRLDLoss(4.0, 0.0, 0.0)(z, z, z, z).values()).item() == pytest.approx(0, abs=1e-5)


def test_only_images_of_which_the_teacher_is_sure_count():
    z_s, _, _ = given.logits(batch=2)
    sure, unsure = torch.eye(given.CLASSES)[:1] * 20, torch.zeros(1, given.CLASSES)
    z_t = torch.cat([sure, unsure])
    (gradient,) = torch.autograd.grad(sum(CRLDLoss()(z_s, z_t, z_s, z_t).values()), z_s)
    assert gradient[0].norm() > 0
    assert gradient[1].norm() == 0


def test_the_weak_view_decides_within_and_the_strong_one_across():
    z_s, _, _ = given.logits(batch=1)
    sure, unsure = torch.eye(given.CLASSES)[:1] * 20, torch.zeros(1, given.CLASSES)
    terms = CRLDLoss()(z_s, sure, z_s, unsure)
    assert terms["within"].item() > 0
    assert terms["across"].item() == 0
    terms = CRLDLoss()(z_s, unsure, z_s, sure)
    assert terms["within"].item() == 0
    assert terms["across"].item() > 0


def test_the_method_reads_both_views_and_weighs_its_terms():
    student, teacher = (
        given.output(name=name)._replace(views={"strong": given.output(name=f"{name} strong")})
        for name in ("student", "teacher")
    )
    flags = {"crld_within": 3.0, "crld_across": 5.0, "crld_weak": 0.0, "crld_strong": 0.0, "crld_ce": 7.0}
    terms = CRLD(given.example(), **flags)(student, teacher, given.batch())
    strong = student.views["strong"].logits
    plain = CRLDLoss(4.0, 0.0, 0.0)(student.logits, teacher.logits, strong, teacher.views["strong"].logits)
    entropy = torch.nn.functional.cross_entropy(strong, given.batch().labels)
    expected = {"ce_strong": 7 * entropy, "within": 3 * plain["within"], "across": 5 * plain["across"]}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: term.item() for name, term in expected.items()}
    )
    assert CRLD.views == ("strong",)
