"""CRD's machinery: what is drawn, and that the fast contrast is the literal one."""

import pytest
import torch
import torch.nn.functional as F

from crd import contrast
from crd.negatives import NegativeSampler, SameClassSampler
from distiller_zoo import CRDLoss
from helper.errors import UserError

BALANCED = torch.arange(400) % 10
UNBALANCED = torch.cat([torch.full((n,), c) for c, n in enumerate((5, 150, 40, 3, 202))])
LARGE = torch.arange(20000) % 100


def literal_direction(anchor, bank, indices, normaliser, temperature):
    """The loss as published: a gather of bank vectors, one product each; indices (B, K+1), the positive first."""
    count = indices.shape[1] - 1
    vectors = bank[indices]
    scores = torch.exp(torch.einsum("bkd,bd->bk", vectors, anchor) / temperature)
    if normaliser is None:
        normaliser = scores.mean().detach() * len(bank)
    p = scores / normaliser
    noise = count / len(bank)
    positive = torch.log(p[:, 0] / (p[:, 0] + noise + 1e-7))
    negative = torch.log(noise / (p[:, 1:] + noise + 1e-7))
    return -(positive.sum() + negative.sum()) / len(anchor), normaliser


@pytest.mark.parametrize("labels, count", [(BALANCED, 64), (BALANCED, 360), (UNBALANCED, 100), (LARGE, 4096)])
def test_negatives_are_k_distinct_images_of_other_classes(labels, count):
    sampler = NegativeSampler(labels, count, seed=1)
    own = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))[:64]]
    for _ in range(5):
        drawn, kept = sampler(own)
        assert torch.equal(kept.sum(dim=1), torch.full((len(own),), count))
        plain = sampler.draw(own)
        assert plain.shape == (len(own), count)
        assert (labels[plain] != own[:, None]).all()
        assert all(len(row.unique()) == count for row in plain)
        assert drawn.min() >= 0 and drawn.max() < len(labels)


@pytest.mark.parametrize("labels, count", [(BALANCED, 40), (UNBALANCED, 50), (BALANCED[:60], 7)])
def test_negatives_are_uniform(labels, count):
    """Chi-square of how often each image of another class is drawn, within four standard deviations."""
    sampler = NegativeSampler(labels, count, seed=3)
    own = labels[:1]
    draws = 3000
    times = sum(torch.bincount(sampler.draw(own).flatten(), minlength=len(labels)) for _ in range(draws))
    others = labels != own
    assert times[~others].sum() == 0
    n = int(others.sum())
    expected = draws * count / n
    # drawn without replacement, an image's count has 1 - K/n of the binomial's variance
    statistic = ((times[others] - expected) ** 2 / expected / (1 - count / n)).sum().item()
    assert abs(statistic - n) < 4 * (2 * n) ** 0.5


def test_sets_of_two_samples_overlap_as_if_drawn_alone():
    sampler = NegativeSampler(LARGE, 4096, seed=4)
    overlaps = []
    for _ in range(20):
        rows = sampler.draw(torch.tensor([0, 0, 0, 0]))
        member = torch.zeros(4, len(LARGE), dtype=torch.bool).scatter_(1, rows, True)
        overlaps += [(member[i] & member[j]).sum().item() for i in range(4) for j in range(i)]
    mean = sum(overlaps) / len(overlaps)
    assert mean == pytest.approx(4096**2 / 19800, rel=0.03)


def test_the_seed_decides_what_is_drawn():
    a, b, c = (NegativeSampler(BALANCED, 30, seed=s) for s in (1, 1, 2))
    own = torch.zeros(8, dtype=torch.int64)
    first = a.draw(own)
    assert torch.equal(first, b.draw(own))
    assert not torch.equal(first, c.draw(own))
    assert not torch.equal(first, a.draw(own))


def test_too_many_negatives_are_refused_with_the_largest_number():
    with pytest.raises(UserError, match="allowed are 1 to 198"):
        NegativeSampler(UNBALANCED, 199)
    with pytest.raises(UserError, match="--nce_k"):
        NegativeSampler(torch.zeros(10, dtype=torch.int64), 1)


def test_relaxed_positives_are_of_the_same_class_and_all_of_them():
    sampler = SameClassSampler(UNBALANCED, seed=1)
    own = torch.arange(5).repeat(400)
    drawn = sampler(own)
    assert torch.equal(UNBALANCED[drawn], own)
    assert len(drawn[own == 0].unique()) == 5 and len(drawn[own == 3].unique()) == 3


def crd(n=300, count=60, **settings):
    torch.manual_seed(0)
    return CRDLoss(12, 20, n, feat_dim=16, nce_k=count, seed=1, **settings)


def inputs(step, n=300, count=60):
    random = torch.Generator().manual_seed(step)
    f_s, f_t = torch.randn(8, 12, generator=random), torch.randn(8, 20, generator=random)
    indices = torch.randperm(n, generator=random)[:8]
    negatives = torch.stack([torch.randperm(n - 1, generator=random)[:count] for _ in range(8)])
    negatives = torch.where(negatives == indices[:, None], n - 1, negatives)
    return f_s.requires_grad_(), f_t, indices, negatives


def test_the_fast_contrast_is_the_literal_one_over_several_steps():
    loss_of = crd()
    bank_s, bank_t = loss_of.bank_s.vectors.clone(), loss_of.bank_t.vectors.clone()
    z_s = z_t = None
    for step in range(3):
        f_s, f_t, indices, negatives = inputs(step)
        learned = [f_s, *loss_of.head_s.parameters(), *loss_of.head_t.parameters()]
        v_s, v_t = loss_of.head_s(f_s), loss_of.head_t(f_t)
        both = torch.cat([indices[:, None], negatives], dim=1)
        literal_s, z_s = literal_direction(v_s, bank_t, both, z_s, 0.07)
        literal_t, z_t = literal_direction(v_t, bank_s, both, z_t, 0.07)
        literal = literal_s + literal_t
        expected = torch.autograd.grad(literal, learned)
        for bank, v in ((bank_s, v_s), (bank_t, v_t)):
            bank[indices] = F.normalize(0.5 * bank[indices] + 0.5 * v.detach(), dim=1)

        loss = loss_of(f_s, f_t, indices, indices, negatives)
        assert loss.item() == pytest.approx(literal.item(), rel=1e-5)
        for got, want in zip(torch.autograd.grad(loss, learned), expected, strict=True):
            assert torch.allclose(got, want, atol=1e-5 * want.abs().max().item())
        assert torch.allclose(loss_of.bank_s.vectors, bank_s, atol=1e-6)
        assert torch.allclose(loss_of.bank_t.vectors, bank_t, atol=1e-6)


def test_what_the_mask_leaves_out_does_not_count():
    f_s, f_t, indices, negatives = inputs(0)
    plain = crd()(f_s, f_t, indices, indices, negatives)
    more = torch.cat([negatives, torch.full((8, 5), 7)], dim=1)
    kept = torch.arange(65).expand(8, -1) < 60
    masked = crd()(f_s, f_t, indices, indices, more, kept)
    assert masked.item() == pytest.approx(plain.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, f_s)[0] for loss in (plain, masked)]
    assert torch.allclose(*gradients, atol=1e-6)


def test_sums_over_drawn_rows_equal_the_product_with_the_whole_bank(monkeypatch):
    f_s, f_t, indices, negatives = inputs(0)
    product = crd()(f_s, f_t, indices, indices, negatives)
    monkeypatch.setattr(contrast, "uses_product", lambda rows, drawn: False)
    rows = crd()(f_s, f_t, indices, indices, negatives)
    assert rows.item() == pytest.approx(product.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, f_s)[0] for loss in (product, rows)]
    assert torch.allclose(*gradients, atol=1e-6)


def test_low_precision_is_within_a_percent():
    exact, rounded = crd(low_precision=False), crd(low_precision=True)
    for step in range(3):
        f_s, f_t, indices, negatives = inputs(step)
        losses = [m(f_s, f_t, indices, indices, negatives) for m in (exact, rounded)]
        assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-2)
        want, got = (torch.autograd.grad(loss, f_s)[0] for loss in losses)
        assert (got - want).norm() < 1e-2 * want.norm()
        assert torch.equal(rounded.bank_s.rounded, rounded.bank_s.vectors.bfloat16())
