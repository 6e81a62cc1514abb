"""CAT-KD: class activation maps, dead ones too, and the pairs' settings."""

import pytest
import torch
from torch import nn

from distiller_zoo.base import LossWeights
from distiller_zoo.catkd import CATKD, CATKDLoss, class_activation_maps
from helper.errors import UserError
from models import model_dict
from tests.distiller_zoo import logit_losses as given
from tests.golden.formula import fill, tensor


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("std", [0.0, 1.0, 1e4])
def test_gradients_are_finite_and_the_teacher_s_none(normalize, size, std):
    cam_s = tensor("cam student", (2, 5, size, size), std=std).requires_grad_()
    cam_t = tensor("cam teacher", (2, 5, 8, 8), std=std).requires_grad_()
    loss = CATKDLoss(4, normalize)(cam_s, cam_t)
    loss.backward()
    assert loss.isfinite()
    assert cam_s.grad.isfinite().all()
    assert cam_t.grad is None


def test_the_mean_of_a_map_is_the_logit_without_its_bias():
    layer, f = fill(nn.Linear(16, given.CLASSES)), tensor("map", (3, 16, 4, 4))
    cam = class_activation_maps(f, layer)
    assert torch.allclose(cam.mean((2, 3)) + layer.bias, layer(f.mean((2, 3))), atol=1e-5)


def test_normalised_maps_forget_their_scale():
    cam = tensor("cam", (2, 5, 8, 8))
    assert CATKDLoss(4, True)(3 * cam, cam).item() == pytest.approx(0, abs=1e-10)
    assert CATKDLoss(4, False)(3 * cam, cam).item() > 0.1
    assert CATKDLoss(4, False)(cam, cam).item() == 0


def test_bf16_maps_are_compared_in_float32():
    cam_s, cam_t = tensor("cam", (2, 5, 8, 8)).bfloat16(), tensor("other", (2, 5, 8, 8)).bfloat16()
    value = CATKDLoss()(cam_s, cam_t)
    assert value.dtype == torch.float32
    assert torch.equal(value, CATKDLoss()(cam_s.float(), cam_t.float()))


@pytest.mark.parametrize("student", ["MobileNetV2", "ShuffleV2", "wrn_16_1"])
def test_the_maps_of_a_real_network_average_to_its_logits(student):
    network = fill(model_dict[student](num_classes=given.CLASSES)).eval()
    out = network.outputs(tensor("images", (2, 3, 32, 32)))
    method = CATKD(given.example(student, student_output=out))
    cam = class_activation_maps(method.last_map_s(out), network.classifier)
    assert torch.allclose(cam.mean((2, 3)) + network.classifier.bias, out.logits, rtol=1e-4, atol=1e-4)


def test_the_method_reads_both_classifiers_without_owning_them():
    example = given.example()
    method = CATKD(example)
    assert not list(method.parameters())
    student, teacher = given.output(), given.output(channels=32, name="teacher")
    method(student, teacher, given.batch()).backward()
    assert example.student_network.classifier.weight.grad.norm() > 0
    assert example.student_network.classifier.bias.grad is None
    assert example.teacher_network.classifier.weight.grad is None
    assert student.preact[-1].grad.norm() > 0


@pytest.mark.parametrize(
    ("pair", "flags", "expected", "beta"),
    [
        (("resnet8x4", "resnet32x4"), {}, (2, False), 15),
        (("ShuffleV1", "resnet32x4"), {}, (4, True), 600),
        (("resnet8", "vgg19"), {}, (2, True), 15),
        (("resnet8", "vgg19"), {"catkd_resolution": 3, "catkd_normalize": "no"}, (3, False), 15),
    ],
)
def test_settings_are_the_pair_s_unless_given(pair, flags, expected, beta):
    method = CATKD(given.example(*pair), **flags)
    assert (method.loss.resolution, method.loss.normalize) == expected
    assert CATKD.weights_for(*pair) == LossWeights(1, 0, beta)


def test_a_network_whose_classifier_sees_no_map_is_named():
    out = given.output(2)._replace(embedding=torch.ones(2, 40))
    with pytest.raises(
        UserError, match="catkd needs the map that the classifier averages, which resnet8 does"
    ):
        CATKD(given.example("resnet8", "resnet32x4", student_output=out))
