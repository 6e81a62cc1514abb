"""OKDDip: gradients of the whole group, the leader, its schedule, what it cannot serve."""

import pytest
import torch

from helper.errors import UserError
from modreduce.okddip import DiversePeers, OKDDipLoss
from tests.modreduce.materials import CLASSES, WIDTH, Peer, a_batch, outputs, step, terms_of


def built(count: int = 4, dtype: torch.dtype = torch.float32, **flags: int) -> DiversePeers:
    torch.manual_seed(0)
    method = DiversePeers(count, CLASSES, **flags)
    method.join([Peer(f"s{k}") for k in range(count)])
    return method.to(dtype)


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_cut_step_has_the_gradients_of_the_published_one(weight):
    method, made = built(dtype=torch.float64), outputs(4, torch.float64)
    method.weight.fill_(weight)
    cut = torch.stack(step(method, made, [Peer()] * 4)).sum()
    losses = method.loss([o.logits for o in made], [o.embedding for o in made[:-1]])
    whole = sum(terms_of(o)["ce"] for o in made) + weight * losses.sum()
    wanted = [*(o.logits for o in made), *(o.embedding for o in made[:-1]), *method.parameters()]
    found, expected = (torch.autograd.grad(loss, wanted, retain_graph=True) for loss in (cut, whole))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(cut - weight * losses.sum(), whole)


def test_a_students_online_term_is_its_own():
    method, made = built(3), outputs(3)
    method.begin_epoch(299, 300)
    method.observe(made)
    targets = method.targets([o.logits.detach() for o in made], a_batch())
    losses = method.loss([o.logits for o in made], [o.embedding for o in made[:-1]])
    for k, (output, target) in enumerate(zip(made, targets, strict=True)):
        terms = terms_of(output)
        method.total(Peer(), output.logits, terms, target)
        torch.testing.assert_close(terms["online"], losses[k])


def test_equal_peers_have_little_to_learn():
    made, loss = outputs(1) * 3, OKDDipLoss(WIDTH)
    values = loss([o.logits for o in made], [o.embedding for o in made[:-1]])
    torch.testing.assert_close(values, torch.zeros(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])
def test_gradients_are_finite(scale):
    made, loss = outputs(3), OKDDipLoss(WIDTH)
    logits = [(scale * o.logits).detach().requires_grad_() for o in made]
    embeddings = [(scale * o.embedding).detach().requires_grad_() for o in made[:-1]]
    values = loss(logits, embeddings)
    found = torch.autograd.grad(values.sum(), [*logits, *embeddings, *loss.parameters()])
    assert values.isfinite().all() and all(g.isfinite().all() for g in found)


def test_half_precision_embeddings_under_autocast():
    method, made = built(3), outputs(3)
    method.begin_epoch(299, 300)
    plain = step(method, made, [Peer()] * 3)
    low = [o._replace(embedding=o.embedding.detach().bfloat16().requires_grad_()) for o in made]
    with torch.autocast("cpu", torch.bfloat16):
        found = step(method, low, [Peer()] * 3)
    torch.testing.assert_close(found, plain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0.0067379), (40, 0.2865), (80, 1.0)])
def test_schedule_is_the_published_one_over_300_epochs(epoch, weight):
    method = built()
    assert method.begin_epoch(epoch, 300) == pytest.approx(weight, rel=1e-4)
    assert method.begin_epoch(epoch // 10, 30) == pytest.approx(weight, rel=1e-4)


def test_ensemble_is_the_mean_of_the_peers():
    made = outputs(3)
    fused, weights = built(3).fuse([o.logits for o in made], a_batch().images)
    torch.testing.assert_close(fused, (made[0].logits + made[1].logits) / 2)
    assert weights.tolist() == [0.5, 0.5, 0.0]


def test_peers_of_unequal_width_are_refused_but_the_leader_is_free():
    method = DiversePeers(3, CLASSES)
    method.join([Peer("kd"), Peer("crd"), Peer("leader", width=8)])
    with pytest.raises(UserError, match=r"widths differ \(kd 16, crd 8\)"):
        method.join([Peer("kd"), Peer("crd", width=8), Peer("leader")])
