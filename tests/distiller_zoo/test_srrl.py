"""SRRL: the projector, the frozen classifier, what is trained and saved."""

import dataclasses

import pytest
import torch
from torch import nn

from distiller_zoo.srrl import SRRL, SRRLLoss
from helper.errors import UserError
from tests.distiller_zoo import materials


def test_equal_embeddings_and_logits_lose_nothing():
    torch.manual_seed(0)
    classifier = nn.Linear(10, 5)
    loss = SRRLLoss(6, classifier)
    (f_s,) = materials.maps([(8, 6)], "s")
    target = loss.transfer(f_s).detach()
    terms = loss(f_s, target, classifier(target))
    assert terms["feature"] < 1e-10 and terms["logits"] < 1e-10


def test_classifier_is_judge_not_pupil():
    classifier = nn.Linear(10, 5)
    loss, (f_s, f_t) = SRRLLoss(6, classifier), materials.maps([(8, 6), (8, 10)], "e")
    z_t = torch.randn(8, 5, requires_grad=True)
    terms = loss(f_s, f_t, z_t)
    sum(terms.values()).backward()
    assert classifier.weight.grad is None and f_t.grad is None and z_t.grad is None
    assert all(p.grad.abs().sum() > 0 for p in loss.transfer.parameters())
    assert f_s.grad.abs().sum() > 0
    assert all(key.startswith("transfer.") for key in loss.state_dict())


@pytest.mark.parametrize("bias", [True, False])
def test_half_precision_and_dead_embeddings(bias):
    loss = SRRLLoss(6, nn.Linear(10, 5, bias=bias))
    dead, (f_t,) = torch.zeros(8, 6, requires_grad=True), materials.maps([(8, 10)], "t")
    terms = loss(dead.bfloat16(), f_t.bfloat16(), torch.zeros(8, 5))
    assert {value.dtype for value in terms.values()} == {torch.float32}
    materials.gradients(sum(terms.values()), [dead])


def test_method_on_two_networks():
    example = materials.example()
    method = SRRL(example)
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    terms = method(student, teacher, materials.a_batch())
    materials.gradients(sum(terms.values()), [student.embedding])
    assert not any("classifier" in key or key.endswith("loss.weight") for key in method.state_dict())


def test_what_it_cannot_serve_is_said():
    example = materials.example()
    with pytest.raises(UserError, match="--batch_size 1 is too small"):
        SRRL(materials.example(batch=1))
    example.teacher_network.classifier = nn.Sequential(nn.Linear(64, 5), nn.Linear(5, 10))
    with pytest.raises(UserError, match="one linear classifier, and larger has none"):
        SRRL(dataclasses.replace(example))
