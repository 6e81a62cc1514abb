"""DML and KDCL: targets, totals with and without a teacher, edges."""

import pytest
import torch
import torch.nn.functional as F

from modreduce.dml import DeepMutualLearning, DMLLoss, peer_divergence
from modreduce.kdcl import Collaborative, mean_target, minlogit_target, naive_target
from tests.modreduce.materials import CLASSES, LABELS, Peer, a_batch, outputs, step, terms_of

METHODS = [DeepMutualLearning, Collaborative]


def gradients(loss: torch.Tensor, made: list) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, [o.logits for o in made], retain_graph=True, allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in found]


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("teacher", [False, True])
def test_each_student_is_moved_by_its_own_loss_only(kind, teacher):
    method, made = kind(3, CLASSES), outputs(3)
    method.begin_epoch(0, 240)
    losses = step(method, made, [Peer()] * 3, teacher)
    assert len(losses) == 3
    for k, loss in enumerate(losses):
        sizes = [float(g.abs().sum()) for g in gradients(loss, made)]
        assert [size > 0 for size in sizes] == [j == k for j in range(3)]


@pytest.mark.parametrize("kind", METHODS)
def test_before_its_start_there_is_offline_only(kind):
    method, made = kind(3, CLASSES, online_start=5), outputs(3)
    peer = Peer(normalise=True, multiplier=10.0)
    assert method.begin_epoch(4, 240) == 0.0
    losses = step(method, made, [peer] * 3)
    torch.testing.assert_close(losses, [peer.offline(terms_of(o)) for o in made])
    assert method.begin_epoch(5, 240) > 0.0
    assert not torch.equal(step(method, made, [peer] * 3)[0], losses[0])


@pytest.mark.parametrize("kind", METHODS)
def test_equal_students_have_nothing_to_learn_from_each_other(kind):
    made = [outputs(1)[0]] * 3
    method = kind(3, CLASSES)
    method.begin_epoch(0, 240)
    terms = terms_of(made[0])
    target = method.targets([o.logits.detach() for o in made], a_batch())[0]
    method.total(Peer(), made[0].logits, terms, target)
    torch.testing.assert_close(terms["online"], torch.tensor(0.0), atol=1e-6, rtol=0)


def test_total_of_dml_is_normalised_with_its_own_weight():
    method, made = DeepMutualLearning(2, CLASSES, dml_weight=2.0, dml_T=3.0), outputs(2)
    method.begin_epoch(0, 240)
    total = step(method, made, [Peer(normalise=True, multiplier=10.0)] * 2, teacher=True)[0]
    terms = terms_of(made[0], teacher=True)
    online = peer_divergence(made[0].logits, made[1].logits, 3.0)
    torch.testing.assert_close(total, 10 / (2 + 2) * (terms["ce"] + terms["kd"] + 2 * online))


def test_total_of_kdcl_shares_between_labels_and_target():
    method, made = Collaborative(2, CLASSES, kdcl_alpha=0.25), outputs(2)
    method.begin_epoch(0, 240)
    total = step(method, made, [Peer()] * 2)[0]
    mean = (made[0].logits + made[1].logits) / 2
    online = 16 * F.kl_div((made[0].logits / 4).log_softmax(1), (mean / 4).softmax(1), reduction="batchmean")
    torch.testing.assert_close(total, 0.75 * terms_of(made[0])["ce"] + 0.25 * online)


def test_forms_of_dml():
    z = [o.logits.detach() for o in outputs(3)]
    mean, total = DMLLoss(form="mean")(z), DMLLoss(form="sum")(z)
    torch.testing.assert_close(total, 2 * mean)
    torch.testing.assert_close(DMLLoss(form="logits")(z)[0], peer_divergence(z[0], (z[1] + z[2]) / 2))
    with pytest.raises(ValueError, match="'peers': allowed are mean, sum, logits"):
        DMLLoss(form="peers")


@pytest.mark.parametrize("epsilon", [0.0, 1e-7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])
def test_divergence_has_finite_gradients(epsilon, scale):
    z, target = ((scale * o.logits).detach().requires_grad_() for o in outputs(2))
    loss = peer_divergence(z, target, epsilon=epsilon)
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, [z, target]))


def test_targets_of_kdcl():
    z = [torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([[1.0, 5.0, 0.0]])]
    labels = torch.tensor([1])
    assert mean_target(z, labels).tolist() == [[0.5, 3.5, 0.5]]
    assert minlogit_target(z, labels).tolist() == [[-4.0, 0.0, -5.0]]
    assert naive_target(z, labels).tolist() == z[1].tolist()


def test_the_best_student_learns_nothing_from_a_naive_target():
    method, made = Collaborative(3, CLASSES, kdcl_target="naive", kdcl_alpha=0.5), outputs(3)
    method.begin_epoch(0, 240)
    best = int(torch.stack([F.cross_entropy(o.logits, LABELS) for o in made]).argmin())
    target = method.targets([o.logits.detach() for o in made], a_batch())[best]
    torch.testing.assert_close(
        gradients(method.kd(made[best].logits, target), made)[best], torch.zeros(6, 10), atol=1e-7, rtol=0
    )


@pytest.mark.parametrize("kind", METHODS)
def test_ensemble_is_the_mean(kind):
    made = outputs(3)
    fused, weights = kind(3, CLASSES).fuse([o.logits for o in made], a_batch().images)
    torch.testing.assert_close(fused, torch.stack([o.logits for o in made]).mean(0))
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3))
