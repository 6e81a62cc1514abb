"""ITRD: correlations of dimensions, dead ones too, and batches that are too small."""

import pytest
import torch

from distiller_zoo.itrd import ITRD, ITRDLoss, deviations
from helper.errors import UserError
from tests.distiller_zoo import logit_losses as given
from tests.golden.formula import tensor


def finite(f_s: torch.Tensor, f_t: torch.Tensor) -> bool:
    loss = ITRDLoss(f_s.shape[1], f_t.shape[1])
    f_s = f_s.clone().requires_grad_()
    value = sum(loss(f_s, f_t).values())
    gradients = torch.autograd.grad(value, [f_s, *loss.parameters()])
    return all(bool(x.isfinite().all()) for x in (value, *gradients))


@pytest.mark.parametrize("size", [1, 2, 8])
def test_dead_dimensions_and_images_stay_finite(size):
    f_t = tensor("teacher", (size, 6))
    dead = f_t.clone()
    dead[:, :3] = 0
    assert finite(tensor("student", (size, 4)), dead)
    assert finite(torch.zeros(size, 4), dead)
    assert finite(torch.ones(size, 6), torch.zeros(size, 6))


def test_deviations_are_torch_s():
    x = tensor("x", (8, 5))
    assert torch.allclose(deviations(x), (x - x.mean(0)) / x.std(0), atol=1e-6)


def test_equal_embeddings_have_no_mutual_loss():
    """Embeddings of the same width are compared as they are; a correlation is (B - 1) / B at most."""
    f = tensor("f", (8, 5))
    loss = ITRDLoss(5, 5)
    torch.nn.init.eye_(loss.embed.weight)
    torch.nn.init.zeros_(loss.embed.bias)
    scaled = loss(3 * f, f)
    unlike = loss(tensor("g", (8, 5)), f)
    assert scaled["correlation"].item() == pytest.approx(
        torch.tensor(5 * (1 / 8) ** 2.02).log2().item(), rel=1e-4
    )
    assert scaled["correlation"] < unlike["correlation"]
    assert abs(scaled["mutual"].item()) < abs(unlike["mutual"].item())


def test_bf16_embeddings_are_compared_in_float32():
    loss = ITRDLoss(4, 6)
    f_s, f_t = tensor("student", (8, 4)).bfloat16(), tensor("teacher", (8, 6)).bfloat16()
    terms = loss(f_s, f_t)
    for name, expected in loss(f_s.float(), f_t.float()).items():
        assert terms[name].dtype == torch.float32
        assert torch.equal(terms[name], expected)


def test_the_method_weighs_its_terms_and_trains_its_layer():
    method = ITRD(given.example(), itrd_alpha=1.5, itrd_correlation=3.0, itrd_mutual=0.5)
    student, teacher = given.output(), given.output(channels=32, name="teacher")
    terms, plain = method(student, teacher, given.batch()), method.loss(student.embedding, teacher.embedding)
    assert method.loss.alpha == 1.5
    assert torch.equal(terms["correlation"], 3 * plain["correlation"])
    assert torch.equal(terms["mutual"], plain["mutual"] / 2)
    sum(terms.values()).backward()
    assert all(p.grad.norm() > 0 for p in [method.loss.embed.weight])


def test_a_batch_of_one_is_refused():
    with pytest.raises(UserError, match="--batch_size 1 is too small for itrd"):
        ITRD(given.example(batch_size=1))
