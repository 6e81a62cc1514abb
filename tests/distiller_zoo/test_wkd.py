"""WKD: transport against a literal Sinkhorn, Gaussians, cost matrices, parts, schedule and errors."""

import dataclasses

import pytest
import torch

from distiller_zoo.wkd import (
    WKD,
    WKDFeatureLoss,
    WKDLogitLoss,
    cka_distance,
    class_distances,
    classifier_distances,
    decay,
)
from helper.errors import UserError
from tests.distiller_zoo import materials

CLASSES = 7


def some_cost() -> torch.Tensor:
    return classifier_distances(torch.randn(CLASSES, 4, generator=torch.Generator().manual_seed(1)))


def logits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    z_s, z_t = materials.maps([(5, CLASSES), (5, CLASSES)], "z")
    return z_s, z_t, torch.tensor([0, 3, 6, 3, 1])


def literal_transport(p: torch.Tensor, q: torch.Tensor, cost: torch.Tensor, iterations: int) -> torch.Tensor:
    """Sinkhorn between two distributions (M,), as it is written down."""
    kernel = torch.exp(-cost / 0.05)
    u = torch.full_like(p, 1 / len(p))
    for _ in range(iterations):
        v = q / (kernel.T @ u + 1e-8)
        u = p / (kernel @ v + 1e-8)
    return (u[:, None] * kernel * v[None, :] * cost).sum()


def test_transport_leaves_out_the_label_like_a_matrix_per_image():
    z_s, z_t, labels = logits()
    cost, expected = some_cost(), []
    sharp = (1 - torch.exp(-cost)).relu() + 1e-8
    for own, theirs, label in zip(z_s, z_t, labels, strict=True):
        rest = torch.arange(CLASSES) != label
        p, q = (own[rest] / 2).softmax(0), (theirs[rest] / 2).softmax(0)
        expected.append(literal_transport(p, q, sharp[rest][:, rest], 10))
    found = WKDLogitLoss(cost, T=2.0)(z_s, z_t, labels)
    torch.testing.assert_close(found["transport"], torch.stack(expected).mean())
    target = -(z_t.softmax(1) * z_s.log_softmax(1))[torch.arange(5), labels].mean()
    torch.testing.assert_close(found["target"], target)


def test_teacher_is_constant_and_precision_is_lifted():
    z_s, z_t, labels = logits()
    loss = WKDLogitLoss(some_cost())
    found = torch.autograd.grad(sum(loss(z_s, z_t, labels).values()), [z_s, z_t], allow_unused=True)
    assert found[0].abs().sum() > 0 and found[1] is None
    assert loss(z_s.bfloat16(), z_t.bfloat16(), labels)["transport"].dtype == torch.float32


@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
def test_logits_of_any_scale_have_finite_gradients(scale):
    z_s, z_t, labels = logits()
    z_s = (scale * z_s).detach().requires_grad_()
    terms = WKDLogitLoss(some_cost(), T=1.0)(z_s, scale * z_t, labels)
    materials.gradients(sum(terms.values()), [z_s])


def test_features_of_the_same_statistics_lose_nothing():
    loss = WKDFeatureLoss((4, 5, 8, 8), (4, 7, 8, 8))
    (f_s,) = materials.maps([(4, 5, 8, 8)], "m")
    assert loss(f_s, loss.regressor(f_s).flip(3)) < 1e-8
    finer = WKDFeatureLoss((4, 5, 8, 8), (4, 7, 8, 8), grid=2)
    finer.load_state_dict(loss.state_dict())
    assert finer(f_s, loss.regressor(f_s).flip(3)) > 1e-3


@pytest.mark.parametrize("size", [16, 8, 4])
@pytest.mark.parametrize("grid", [1, 4])
def test_form_of_the_maps(size, grid):
    torch.manual_seed(0)
    loss = WKDFeatureLoss((4, 5, size, size), (4, 7, 8, 8), grid=grid)
    f_s, f_t = materials.maps([(4, 5, size, size), (4, 7, 8, 8)], "m")

    def on_lists(a: list, b: list) -> torch.Tensor:
        return loss(a[0], b[0])

    materials.assert_indifferent_to_form(on_lists, [f_s], [f_t])
    materials.assert_teacher_is_constant(on_lists, [f_s], [f_t])
    materials.gradients(loss(torch.zeros_like(f_s), torch.zeros_like(f_t)), list(loss.parameters()))


def test_distances_between_classes():
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(cka_distance(x, 2 * x @ rotation), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert 0.1 < cka_distance(x, x.flip(0)) <= 1
    assert cka_distance(torch.zeros(20, 6), x) == 1
    classes = torch.randn(4, 20, 6, generator=torch.Generator().manual_seed(2))
    pairs = torch.stack([torch.stack([cka_distance(a, b) for b in classes]) for a in classes])
    torch.testing.assert_close(class_distances(classes), pairs, atol=1e-5, rtol=1e-4)
    cost = some_cost()
    torch.testing.assert_close(cost.diagonal(), torch.zeros(CLASSES), atol=1e-6, rtol=0)
    torch.testing.assert_close(cost, cost.T)


def test_distances_fade_after_epoch_150():
    assert [decay(e, 240, 150) for e in (1, 150)] == [1.0, 1.0]
    assert decay(195, 240, 150) == pytest.approx(0.5)
    assert decay(240, 240, 150) == pytest.approx(0.0)
    method = WKD(materials.example())
    method.begin_epoch(194, 240)
    assert float(method.factor) == pytest.approx(0.5)
    method.begin_epoch(0, 1)
    assert 0.0 <= float(method.factor) <= 1.0


@pytest.mark.parametrize(
    ("part", "terms"),
    [
        ("both", {"target", "transport", "features"}),
        ("logits", {"target", "transport"}),
        ("features", {"features"}),
    ],
)
def test_parts(part, terms):
    method = WKD(materials.example(), wkd_part=part)
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    found = method(student, teacher, materials.a_batch())
    assert set(found) == terms
    wanted = [student.logits] * (part != "features") + [student.preact[-1]] * (part != "logits")
    materials.gradients(sum(found.values()), wanted)


def test_settings_of_a_published_pair():
    example = dataclasses.replace(materials.example(), student_model="resnet8x4", teacher_model="resnet32x4")
    both, alone = WKD(example), WKD(example, wkd_part="logits", wkd_T=3.0)
    assert (both.logits_weight, both.features_weight, both.features.ratio) == (200.0, 0.08, 8.0)
    assert (alone.logits_weight, alone.logits.T) == (600.0, 3.0)


def test_a_cost_of_ones_own_and_files_that_hold_none(tmp_path):
    example, path = materials.example(), tmp_path / "cost.pt"
    torch.save(1.0 - torch.eye(10), path)
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    own = WKD(example, wkd_cost=path)(student, teacher, materials.a_batch())
    other = WKD(example)(student, teacher, materials.a_batch())
    assert own["transport"] != other["transport"]
    with pytest.raises(UserError, match="cannot be read"):
        WKD(example, wkd_cost=tmp_path / "missing.pt")
    torch.save(torch.eye(9), path)
    with pytest.raises(UserError, match=r"holds \(9, 9\): give a file"):
        WKD(example, wkd_cost=path)
    (tmp_path / "text.pt").write_text("no tensor")
    with pytest.raises(UserError, match="cannot be read"):
        WKD(example, wkd_cost=tmp_path / "text.pt")


def test_what_it_cannot_serve_is_said():
    foreign = dataclasses.replace(materials.example(), teacher_network=torch.nn.Identity())
    with pytest.raises(UserError, match="larger has none: give them with --wkd_cost"):
        WKD(foreign)
    with pytest.raises(UserError, match="--wkd_grid 3 does not divide"):
        WKD(materials.example(), wkd_grid=3)
    with pytest.raises(UserError, match="--wkd_grid 4 does not divide"):
        WKD(materials.example(), wkd_grid=4)
    with pytest.raises(UserError, match=r"map of 1 x 1 into cells of 2 places .* use --wkd_part logits"):
        WKD(materials.example(teacher=((8, 16), (8, 1))))
