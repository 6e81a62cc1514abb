"""CRD's machinery: what is drawn, and that the fast contrast is the literal one."""

import pytest
import torch
import torch.nn.functional as F

from crd import negatives as negatives_module
from crd.bank import Bank
from crd.negatives import DrawnNegatives, GivenNegatives, NegativeSampler, SameClassSampler
from distiller_zoo import CRDLoss
from helper.errors import UserError
from helper.randomness import generator
from tests.crd.literal import LiteralCRD

BALANCED = torch.arange(400) % 10
UNBALANCED = torch.cat([torch.full((n,), c) for c, n in enumerate((5, 150, 40, 3, 202))])
LARGE = torch.arange(20000) % 100
VERY_LARGE = torch.arange(100_000) % 10  # more images than all strides are exact for


def membership(drawn: DrawnNegatives) -> torch.Tensor:
    """(n_data, B): 1 where an image is a negative of a sample."""
    return torch.cat([block.weights for block in drawn.all_rows()])


def listed(drawn: DrawnNegatives) -> torch.Tensor:
    """(B, K) indices of the negatives."""
    indices, kept = drawn.indices()
    return indices[kept].view(len(indices), drawn.count)


@pytest.mark.parametrize(
    "labels, count",
    [
        (BALANCED, 64),
        (BALANCED, 360),
        (BALANCED, 1),
        (UNBALANCED, 100),
        (UNBALANCED, 198),
        (LARGE, 4096),
        (VERY_LARGE, 5000),
        (torch.tensor([0, 1, 1]), 1),
    ],
)
def test_negatives_are_k_distinct_images_of_other_classes_in_both_forms(labels, count):
    sampler, random = NegativeSampler(labels, count), generator("cpu", 1)
    own = labels[torch.randint(len(labels), (32,), generator=random)]
    for _ in range(3):
        drawn = sampler(own, random)
        member = membership(drawn)
        assert member.shape == (len(labels), 32)
        assert set(member.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(member.sum(dim=0), torch.full((32,), float(count)))
        assert not member[labels[:, None] == own].any()
        indices = listed(drawn)
        assert all(len(row.unique()) == count for row in indices)
        assert torch.equal(torch.zeros_like(member).T.scatter_(1, indices, 1.0).T, member)


@pytest.mark.parametrize("labels, count", [(BALANCED, 40), (UNBALANCED, 50), (BALANCED[:60], 7)])
def test_negatives_are_uniform(labels, count):
    """Chi-square of how often each image of another class is drawn, within four standard deviations."""
    sampler, random = NegativeSampler(labels, count), generator("cpu", 3)
    own, draws = labels[:1], 3000
    times = sum(membership(sampler(own, random))[:, 0] for _ in range(draws))
    others = labels != own
    assert times[~others].sum() == 0
    n = int(others.sum())
    expected = draws * count / n
    # drawn without replacement, an image's count has 1 - K/n of the binomial's variance
    statistic = ((times[others] - expected) ** 2 / expected / (1 - count / n)).sum().item()
    assert abs(statistic - n) < 4 * (2 * n) ** 0.5


def test_pairs_of_images_are_drawn_together_as_often_as_without_replacement():
    """Chi-square over all pairs of images of other classes."""
    labels, count, draws = torch.arange(24) % 4, 6, 4000
    sampler, random = NegativeSampler(labels, count), generator("cpu", 7)
    own = torch.zeros(1, dtype=torch.int64)
    members = torch.cat([membership(sampler(own, random)) for _ in range(draws)], dim=1)
    members = members[labels != 0]
    upper = torch.ones(18, 18).triu(diagonal=1).bool()
    together = (members @ members.T)[upper]
    chance = count * (count - 1) / (18 * 17)
    statistic = ((together - draws * chance) ** 2 / (draws * chance * (1 - chance))).sum().item()
    assert abs(statistic - len(together)) < 6 * (2 * len(together)) ** 0.5


def test_sets_of_two_samples_overlap_like_independent_draws():
    """Overlaps have the mean and the standard deviation of a hypergeometric distribution."""
    count, others = 2000, 4950
    labels = torch.arange(5000) % 100
    sampler, random = NegativeSampler(labels, count), generator("cpu", 4)
    overlaps = []
    for _ in range(100):
        member = membership(sampler(torch.zeros(16, dtype=torch.int64), random))
        overlaps.append((member.T @ member)[torch.ones(16, 16).triu(diagonal=1).bool()])
    overlaps = torch.cat(overlaps)
    share = count / others
    deviation = (count * share * (1 - share) * (others - count) / (others - 1)) ** 0.5
    assert overlaps.mean().item() == pytest.approx(count * share, abs=deviation / 5)
    assert overlaps.std().item() == pytest.approx(deviation, rel=0.25)


def test_the_seed_decides_what_is_drawn():
    sampler, own = NegativeSampler(BALANCED, 30), torch.zeros(8, dtype=torch.int64)
    one, same, other = generator("cpu", 1), generator("cpu", 1), generator("cpu", 2)
    first = membership(sampler(own, one))
    assert torch.equal(first, membership(sampler(own, same)))
    assert not torch.equal(first, membership(sampler(own, other)))
    assert not torch.equal(first, membership(sampler(own, one)))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match=r"--nce_k 199 .* allowed are 1 to 198"):
        NegativeSampler(UNBALANCED, 199)
    with pytest.raises(UserError, match="all 10 training images are of one class"):
        NegativeSampler(torch.zeros(10, dtype=torch.int64), 1)


def test_relaxed_positives_are_of_the_same_class_and_all_of_them():
    sampler = SameClassSampler(UNBALANCED)
    own = torch.arange(5).repeat(400)
    drawn = sampler(own, generator("cpu", 1))
    assert torch.equal(UNBALANCED[drawn], own)
    assert len(drawn[own == 0].unique()) == 5 and len(drawn[own == 3].unique()) == 3


LABELS = torch.arange(300) % 6
COUNT = 60


def crd(**settings) -> CRDLoss:
    """A small loss, the same at every call."""
    torch.manual_seed(0)
    return CRDLoss(12, 20, len(LABELS), feat_dim=16, nce_k=COUNT, seed=1, **settings)


def literal_of(loss: CRDLoss) -> LiteralCRD:
    """The literal loss with the same banks."""
    return LiteralCRD(loss.bank_s.vectors.clone(), loss.bank_t.vectors.clone())


def inputs(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings of student and teacher, and indices of the images."""
    random = generator("cpu", step)
    f_s, f_t = torch.randn(8, 12, generator=random), torch.randn(8, 20, generator=random)
    return f_s.requires_grad_(), f_t, torch.randperm(len(LABELS), generator=random)[:8]


def drawn_for(indices: torch.Tensor, step: int) -> DrawnNegatives:
    """Negatives for images with these indices."""
    return NegativeSampler(LABELS, COUNT)(LABELS[indices], generator("cpu", step))


def compare(loss_of: CRDLoss, literal: LiteralCRD, step: int, value, contrast_idx: torch.Tensor) -> None:
    """One step of both: loss, gradients and banks agree. value(f_s, f_t, indices) is the loss to check."""
    f_s, f_t, indices = inputs(step)
    learned = [f_s, *loss_of.head_s.parameters(), *loss_of.head_t.parameters()]
    want = literal(loss_of.head_s(f_s), loss_of.head_t(f_t), indices, contrast_idx)
    got = value(f_s, f_t, indices)
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
    pairs = zip(torch.autograd.grad(got, learned), torch.autograd.grad(want, learned), strict=True)
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())
    assert torch.allclose(loss_of.bank_s.vectors, literal.bank_s, atol=1e-6)
    assert torch.allclose(loss_of.bank_t.vectors, literal.bank_t, atol=1e-6)
    assert loss_of.z_s.item() == pytest.approx(literal.z["s"].item(), rel=1e-5)
    assert loss_of.z_t.item() == pytest.approx(literal.z["t"].item(), rel=1e-5)


@pytest.mark.parametrize("rows_per_drawn", [0, 64])
@pytest.mark.parametrize("block_scores", [8 * 41, 1 << 19])
def test_the_contrast_with_drawn_negatives_is_the_literal_one(monkeypatch, rows_per_drawn, block_scores):
    """Both by rows of the whole bank and by drawn rows, in one block or several, over three steps."""
    monkeypatch.setattr(negatives_module, "ROWS_PER_DRAWN", rows_per_drawn)
    monkeypatch.setitem(negatives_module.BLOCK_SCORES, "cpu", block_scores)
    loss_of = crd()
    literal = literal_of(loss_of)
    for step in range(3):
        indices = inputs(step)[2]
        drawn = drawn_for(indices, step)
        positives = indices.roll(1)  # another image, as in the relaxed mode

        def value(f_s, f_t, indices, positives=positives, drawn=drawn):
            return loss_of.contrast(f_s, f_t, indices, positives, drawn)

        compare(loss_of, literal, step, value, torch.cat([positives[:, None], listed(drawn)], dim=1))


def test_the_contrast_with_given_indices_is_the_literal_one():
    """Also where an index comes more than once."""
    loss_of = crd()
    literal = literal_of(loss_of)
    for step in range(3):
        indices = inputs(step)[2]
        negatives = torch.randint(40, (8, COUNT), generator=generator("cpu", step))
        contrast_idx = torch.cat([indices[:, None], negatives], dim=1)
        compare(loss_of, literal, step, lambda *x, both=contrast_idx: loss_of(*x, both), contrast_idx)


@pytest.mark.parametrize("temperature", [0.02, 0.07, 1.0])
def test_hard_negatives_do_not_overflow(temperature):
    """Embeddings that have all become the same after Z was fixed: every score is the largest there is."""
    torch.manual_seed(0)
    loss_of = CRDLoss(12, 12, len(LABELS), feat_dim=16, nce_k=4, nce_t=temperature)
    loss_of.head_t.load_state_dict(loss_of.head_s.state_dict())
    literal = LiteralCRD(loss_of.bank_s.vectors.clone(), loss_of.bank_t.vectors.clone(), temperature)
    f_s, _, indices = inputs(0)
    drawn = NegativeSampler(LABELS, 4)(LABELS[indices], generator("cpu", 0))
    both = torch.cat([indices[:, None], listed(drawn)], dim=1)
    loss_of.contrast(f_s, f_s, indices, indices, drawn)
    literal(loss_of.head_s(f_s), loss_of.head_t(f_s), indices, both)
    same = f_s.detach()[:1].expand(8, -1)
    row = F.normalize(loss_of.head_s(same)[0].detach(), dim=0)
    for bank in (loss_of.bank_s.vectors, loss_of.bank_t.vectors, literal.bank_s, literal.bank_t):
        bank.copy_(row.expand_as(bank))
    got = loss_of.contrast(same, same, indices, indices, drawn)
    want = literal(loss_of.head_s(same), loss_of.head_t(same), indices, both)
    assert torch.isfinite(got) and got.item() == pytest.approx(want.item(), rel=1e-4)


def clustered(step: int, bank: Bank) -> torch.Tensor:
    """Embeddings (8, 16) near rows of the bank, as after some training."""
    random = generator("cpu", step)
    return bank.vectors[:8] + 0.1 * torch.randn(8, 16, generator=random)


@pytest.mark.parametrize("near", [False, True])
def test_low_precision_is_within_a_percent(near):
    exact, rounded = crd(low_precision=False), crd(low_precision=True)
    for step in range(3):
        f_s, f_t, indices = inputs(step)
        if near:
            for m in (exact, rounded):
                m.head_s.linear = torch.nn.Linear(16, 16, bias=False)
                m.head_s.linear.weight.data = torch.eye(16)
            f_s = clustered(step, exact.bank_t).requires_grad_()
        losses = [m.contrast(f_s, f_t, indices, indices, drawn_for(indices, step)) for m in (exact, rounded)]
        assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-2)
        want, got = (torch.autograd.grad(loss, f_s)[0] for loss in losses)
        assert (got - want).norm() < 1e-2 * want.norm()
        assert torch.equal(rounded.bank_s.rounded, rounded.bank_s.vectors.bfloat16())


def test_autocast_chooses_the_precision_of_the_products():
    loss_of = crd()
    f_s, f_t, indices = inputs(0)
    loss_of.contrast(f_s, f_t, indices, indices, drawn_for(indices, 0))
    assert loss_of.bank_s.rounded is None
    with torch.autocast("cpu", torch.bfloat16):
        loss_of.contrast(f_s, f_t, indices, indices, drawn_for(indices, 0))
    assert loss_of.bank_s.rounded is not None
    assert not any("rounded" in key for key in loss_of.state_dict())


def test_loading_brings_the_rounded_copy_up_to_date():
    bank, other = Bank(20, 8, 0.5, seed=1), Bank(20, 8, 0.5, seed=2)
    rounded = bank.rows(low_precision=True)
    bank.load_state_dict(other.state_dict())
    assert bank.rows(low_precision=True) is rounded
    assert torch.equal(rounded, other.vectors.bfloat16())


def test_banks_start_in_the_published_range_as_the_seed_says():
    bank = Bank(500, 48, 0.5, seed=1).vectors
    assert bank.abs().max() <= 0.25 and bank.abs().max() > 0.24
    assert torch.equal(bank, Bank(500, 48, 0.5, seed=1).vectors)
    assert not torch.equal(bank, Bank(500, 48, 0.5, seed=2).vectors)


def test_another_number_of_negatives_than_built_for_is_refused():
    f_s, f_t, indices = inputs(0)
    with pytest.raises(ValueError, match="built for 60"):
        crd().contrast(f_s, f_t, indices, indices, GivenNegatives(torch.zeros(8, 5, dtype=torch.int64)))
    with pytest.raises(UserError, match=r"--nce_t 0.001 .* 0.0125"):
        CRDLoss(4, 4, 10, nce_k=2, nce_t=0.001)
