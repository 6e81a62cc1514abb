"""SKD: directions between images, and rows that do not differ."""

import pytest
import torch

from distiller_zoo.skd import SKD, SKDLoss, direction_loss
from tests.distiller_zoo import logit_losses as given


def total(z_s, z_t, labels):
    return sum(SKDLoss()(z_s, z_t).values())


def test_bears_what_a_run_can_bring():
    given.assert_bears_hard_logits(total)
    given.assert_float32_from_bf16(total)
    given.assert_teacher_is_constant(total)


@pytest.mark.parametrize("batch", [1, 2])
def test_small_batches_stay_finite(batch):
    z_s, z_t, labels = given.logits(batch)
    assert given.finite_gradient(total, z_s.detach(), z_t, labels)


def test_directions_do_not_know_lengths():
    z_s, z_t, _ = given.logits()
    lengths = torch.linspace(1, 4, given.IMAGES)[:, None]
    assert direction_loss(z_t * lengths, z_t).item() == pytest.approx(0, abs=1e-6)
    assert direction_loss(z_s * lengths, z_t).item() == pytest.approx(
        direction_loss(z_s, z_t).item(), rel=1e-5
    )


def test_the_metric_is_mahalanobis_with_a_ridge():
    z_s, z_t, _ = given.logits()
    cosines = [torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2) / 10 for z in (z_s, z_t)]
    rows = cosines[0] - cosines[1]
    metric = rows.T.cov() + 1e-3 * torch.eye(given.IMAGES)
    expected = torch.einsum("bi,ij,bj->b", rows, metric.inverse(), rows).sqrt().mean()
    assert direction_loss(z_s, z_t, 1e-3).item() == pytest.approx(expected.item(), rel=1e-4)


def test_flags_reach_the_loss():
    method = SKD(given.example(), skd_tikhonov=0.5, kd_T=2.0)
    student, teacher = given.output(), given.output(name="teacher")
    terms = method(student, teacher, given.batch())
    assert terms == SKDLoss(2.0, 0.5)(student.logits, teacher.logits)
