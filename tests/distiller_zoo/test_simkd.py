"""SimKD: its network, which outlives its teacher, and its loss."""

import pytest
import torch

from distiller_zoo.simkd import SimKD, SimKDLoss
from helper.errors import UserError
from models import build_network, model_dict
from models.reused import ReusedClassifier
from tests.distiller_zoo import logit_losses as given
from tests.distiller_zoo import materials
from tests.golden.formula import fill, tensor

PAIRS = [
    ("resnet8", "wrn_16_2"),
    ("wrn_16_1", "resnet8"),
    ("vgg8", "resnet8"),
    ("resnet8", "vgg8"),
    ("ShuffleV1", "resnet8"),
    ("ShuffleV2", "resnet8"),
    ("MobileNetV2", "resnet8"),
    ("resnet8", "MobileNetV2"),
    ("resnet8", "ShuffleV2"),
]


def network_of(student: str, teacher: str) -> tuple[ReusedClassifier, torch.nn.Module]:
    """The network of a pair with made-up weights, and its teacher."""
    large = fill(model_dict[teacher](num_classes=10)).eval()
    return SimKD.network(model_dict[student](num_classes=10), large, 10), large


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
@pytest.mark.parametrize("size", [32, 64])
def test_a_network_like_any_other(student, teacher, size):
    network, large = network_of(student, teacher)
    images = tensor("images", (2, 3, size, size))
    out = network.eval().outputs(images)
    assert out.logits.shape == (2, 10)
    assert out.embedding.shape == (2, network.classifier.in_features)
    assert torch.equal(network(images), out.logits)
    for preact, maps in ((False, out.maps), (True, out.preact)):
        features, logits = network(images, is_feat=True, preact=preact)
        assert torch.equal(logits, out.logits)
        assert all(torch.equal(a, b) for a, b in zip(features[1:-1], maps, strict=True))
    assert torch.equal(network.classifier.weight, large.classifier.weight)
    if student != "ShuffleV2":  # which has none
        assert len(network.norms_before_relu()) == len(out.maps)
    teacher_output = large.outputs(images)
    method = SimKD(given.example(student, teacher, student_output=out, teacher_output=teacher_output))
    assert method(out, teacher_output, given.batch(2)).isfinite()


@pytest.mark.parametrize("teacher", ["vgg8", "wrn_16_2", "ShuffleV2", "MobileNetV2"])
def test_the_classifier_sees_what_the_teacher_s_saw(teacher):
    """With the teacher's own last map in place of the projected one, the logits are the teacher's."""
    network, large = network_of("resnet8", teacher)
    out = large.outputs(tensor("images", (2, 3, 32, 32)))
    method = SimKD(given.example(teacher_output=out, teacher=teacher))
    seen = network.classifier(method.last_map(out).mean(dim=(2, 3)))
    assert torch.allclose(seen, out.logits, rtol=1e-4, atol=1e-5)


def test_the_classifier_stays_frozen_and_undecayed():
    network, large = network_of("resnet8", "resnet14")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.5, momentum=0.9)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = tensor("images", (4, 3, 32, 32))
    SimKDLoss()(network.train().outputs(images).maps[-1], large.outputs(images).maps[-1]).backward()
    optimizer.step()
    after = network.state_dict()
    assert {"classifier.weight", "classifier.bias"} <= set(after)
    for key in after:
        if "num_batches_tracked" not in key:
            assert torch.equal(before[key], after[key]) == key.startswith("classifier."), key


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
def test_a_checkpoint_loads_without_the_teacher_s_weights(student, teacher):
    network, _ = network_of(student, teacher)
    again = build_network(SimKD.network_name(student, teacher), 10)
    again.load_state_dict(network.state_dict(), strict=True)
    images = tensor("images", (2, 3, 32, 32))
    assert torch.equal(again.eval()(images), network.eval()(images))


def test_building_it_leaves_the_teacher_alone():
    large = fill(model_dict["resnet8"]()).train()
    before = {key: value.clone() for key, value in large.state_dict().items()}
    SimKD.network(model_dict["resnet8"](), large, 100)
    assert large.training
    assert all(torch.equal(before[key], value) for key, value in large.state_dict().items())
    assert all(p.requires_grad for p in large.parameters())


def test_maps_of_different_sizes_meet_at_the_smaller():
    small, large = tensor("small", (2, 3, 4, 4)), tensor("large", (2, 3, 8, 8))
    expected = (torch.nn.functional.avg_pool2d(large, 2) - small).square().mean()
    for f_s, f_t in ((small, large), (large, small)):
        assert SimKDLoss()(f_s, f_t).item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_is_float32_zero_at_equality_and_never_moves_the_teacher():
    f_s = tensor("map", (2, 3, 4, 4)).bfloat16().requires_grad_()
    f_t = f_s.detach().clone().requires_grad_()
    loss = SimKDLoss()(f_s, f_t)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == 0
    assert f_t.grad is None


def test_teachers_that_cannot_lend_their_classifier():
    with pytest.raises(UserError, match="cannot reuse the classifier of a SmallNetwork"):
        SimKD.network(model_dict["resnet8"](num_classes=10), materials.SmallNetwork(), 10)
    with pytest.raises(UserError, match="has 100 classes; the data set has 10"):
        SimKD.network(model_dict["resnet8"](num_classes=10), model_dict["resnet8"](), 10)


@pytest.mark.parametrize(
    "name", ["resnet9", "reused/resnet8", "reused/resnet8/resnet9", "other/resnet8/resnet8"]
)
def test_unknown_names_are_answered_with_the_known_ones(name):
    with pytest.raises(UserError, match="the networks are resnet8, "):
        build_network(name)
