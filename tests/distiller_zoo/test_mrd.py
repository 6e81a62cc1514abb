"""MRD: order along classes and images, its invariances and its edges."""

import pytest
import torch

from distiller_zoo.mrd import MRD, MRDLoss
from helper.errors import UserError
from tests.distiller_zoo import materials


def logits(batch: int = 6, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    z_s, z_t = (3 * z for z in materials.maps([(batch, classes), (batch, classes)], "z"))
    return z_s, z_t


def test_equal_logits_are_similar_and_opposite_ones_are_not():
    _, z_t = logits()
    assert MRDLoss()(z_t, z_t)["similarity"].abs() < 1e-5
    torch.testing.assert_close(MRDLoss()(-z_t, z_t)["similarity"], torch.tensor(4.0))


def test_a_steep_sign_counts_pairs_in_the_same_order():
    z = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    other = torch.tensor([[1.0, 3.0, 2.0], [3.0, 2.0, 1.0]])
    kendall = MRDLoss(beta=1e4).kendall(other, z)
    torch.testing.assert_close(kendall, torch.tensor(1 - (1 / 3 - 1) / 2))


@pytest.mark.parametrize("most", [1, 60, 200, 350])
def test_many_classes_are_ranked_block_by_block_to_the_same_value_and_gradient(most, monkeypatch):
    z_s, z_t = logits()
    whole = MRDLoss().kendall(z_s, z_t)
    expected = materials.gradients(whole, [z_s])
    monkeypatch.setattr("distiller_zoo.mrd.MOST_DIFFERENCES", most)
    blocks = MRDLoss().kendall(z_s, z_t)
    torch.testing.assert_close(blocks, whole)
    torch.testing.assert_close(materials.gradients(blocks, [z_s]), expected)


def test_scale_and_offset_of_rows_do_not_matter_to_rows():
    z_s, z_t = logits()
    loss = MRDLoss()
    for part in (loss.similarity, loss.kendall):
        torch.testing.assert_close(part(2 * z_s + 5, z_t), part(z_s, z_t))


def test_teacher_is_constant_and_half_precision_is_lifted():
    z_s, z_t = logits()
    terms = MRDLoss()(z_s, z_t)
    found = torch.autograd.grad(sum(terms.values()), [z_s, z_t], allow_unused=True)
    assert found[0].abs().sum() > 0 and found[1] is None
    assert MRDLoss()(z_s.bfloat16(), z_t.bfloat16())["kendall"].dtype == torch.float32


@pytest.mark.parametrize("constant", [0.0, 7.0])
def test_uniform_logits_have_finite_gradients(constant):
    z_s = torch.full((6, 10), constant, requires_grad=True)
    terms = MRDLoss()(z_s, torch.full((6, 10), constant))
    materials.gradients(sum(terms.values()), [z_s])


def test_method_weighs_its_terms():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    published = MRD(materials.example())(student, teacher, materials.a_batch())
    plain = MRD(materials.example(), mrd_similarity=1.0, mrd_kendall=0.0)(
        student, teacher, materials.a_batch()
    )
    torch.testing.assert_close(published["similarity"], 16 * plain["similarity"])
    assert plain["kendall"] == 0 and published["kendall"] > 0
    with pytest.raises(UserError, match="--batch_size 1 is too small"):
        MRD(materials.example(batch=1))
