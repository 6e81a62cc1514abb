"""SDD: regions of the last map, their weights, and networks without such a map."""

import pytest
import torch
from torch import nn

from distiller_zoo.dkd import DKDLoss
from distiller_zoo.kd import DistillKL
from distiller_zoo.sdd import SDD, SDDKD, SDDKDLoss, SDKDLoss, region_logits, region_weights
from helper.errors import UserError
from models import model_dict
from tests.distiller_zoo import logit_losses as given
from tests.golden.formula import fill, tensor


def parts(size: int = 8, std: float = 1.0):
    """Maps of student and teacher, their classifiers, labels."""
    layers = [fill(nn.Linear(width, given.CLASSES)) for width in (16, 32)]
    f_s = tensor("map student", (given.IMAGES, 16, size, size), std=std).requires_grad_()
    f_t = tensor("map teacher", (given.IMAGES, 32, size, size), std=std).requires_grad_()
    return f_s, f_t, *layers, given.LABELS[: given.IMAGES]


@pytest.mark.parametrize("kind", [SDKDLoss, SDDKDLoss])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("std", [0.0, 1.0, 1e4])
def test_gradients_are_finite_and_the_teacher_s_none(kind, size, std):
    f_s, f_t, own, teacher, labels = parts(size, std)
    kind()(f_s, f_t, own, teacher, labels).backward()
    assert all(x.grad.isfinite().all() for x in (f_s, own.weight, own.bias))
    assert all(x.grad is None for x in (f_t, teacher.weight, teacher.bias))


@pytest.mark.parametrize("kind", [SDKDLoss, SDDKDLoss])
def test_equal_regions_cost_nothing(kind):
    f, _, layer, _, labels = parts()
    assert kind()(f, f, layer, layer, labels).item() == pytest.approx(0, abs=1e-5)


def test_one_region_is_the_ordinary_loss():
    f_s, f_t, own, teacher, labels = parts()
    z_s, z_t = own(f_s.mean((2, 3))), teacher(f_t.mean((2, 3)))
    for loss, plain in (
        (SDKDLoss(scales=(1,)), DistillKL(4.0)(z_s, z_t)),
        (SDDKDLoss(scales=(1,)), DKDLoss()(z_s, z_t, labels)),
    ):
        assert loss(f_s, f_t, own, teacher, labels).item() == pytest.approx(plain.item(), rel=1e-4)


def test_regions_lie_row_by_row():
    f, _, layer, _, _ = parts()
    z = region_logits(f, layer, (1, 2))
    assert z.shape == (given.IMAGES, 5, given.CLASSES)
    assert torch.allclose(z[:, 2], layer(f[:, :, :4, 4:].mean((2, 3))), atol=1e-5)
    assert torch.allclose(z[:, 0], layer(f.mean((2, 3))), atol=1e-5)


def test_weights_double_where_region_and_image_disagree():
    z_t = torch.eye(4)[torch.tensor([[0, 0, 1], [2, 1, 3]])]
    assert region_weights(z_t, torch.tensor([0, 1])).tolist() == [[1, 1, 2], [1, 2, 1]]


def test_bf16_maps_are_compared_in_float32():
    f_s, f_t, own, teacher, labels = parts()
    half = f_s.bfloat16(), f_t.bfloat16()
    value = SDKDLoss()(*half, own, teacher, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, SDKDLoss()(half[0].float(), half[1].float(), own, teacher, labels))


@pytest.mark.parametrize("student", ["MobileNetV2", "ShuffleV2", "wrn_16_1"])
def test_the_first_region_of_a_real_network_is_its_logits(student):
    network = fill(model_dict[student](num_classes=given.CLASSES)).eval()
    out = network.outputs(tensor("images", (2, 3, 32, 32)))
    method = SDD(given.example(student, student_output=out))
    regions = region_logits(method.last_map_s(out), network.classifier, (1, 2))
    assert torch.allclose(regions[:, 0], out.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [SDD, SDDKD])
def test_the_method_reads_both_classifiers_without_owning_them(kind):
    example = given.example("resnet20", "resnet56")
    method = kind(example)
    assert not list(method.parameters())
    student, teacher, batch = given.output(), given.output(channels=32, name="teacher"), given.batch()
    method(student, teacher, batch).backward()
    assert example.student_network.classifier.weight.grad.norm() > 0
    assert student.preact[-1].grad.norm() > 0
    assert method.loss.scales == (1, 2, 4)


def test_settings_are_the_pair_s_unless_given():
    assert SDD(given.example()).loss.scales == (1, 2)
    assert SDD(given.example(), sdd_scales="1,2,4", kd_T=2.0).loss.T == 2
    loss = SDDKD(given.example("resnet20", "resnet56"), sdd_scales="1,2").loss
    assert (loss.alpha, loss.beta, loss.scales) == (1, 2, (1, 2))
    assert SDDKD(given.example(), dkd_beta=0.0).loss.beta == 0
    assert SDDKD.warm_up == 20 and SDD.warm_up == 0


def test_a_network_whose_classifier_sees_no_map_is_named():
    out = given.output(2)
    out = out._replace(embedding=torch.ones(2, 40))
    with pytest.raises(UserError, match="sdd needs the map that the classifier averages, which resnet8 does"):
        SDD(given.example("resnet8", "vgg13", student_output=out))
