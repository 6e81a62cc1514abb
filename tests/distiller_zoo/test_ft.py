"""FT: factors, and a paraphraser that is trained first and then fixed."""

from dataclasses import replace

import pytest
import torch

from distiller_zoo.ft import FT, FTLoss, Paraphraser
from helper.errors import UserError
from tests.distiller_zoo import materials


def of_lists(f_s, f_t):
    return FTLoss()(f_s[0], f_t[0])


@pytest.mark.parametrize("p2", [1, 2, 3])
def test_equal_factors_lose_nothing(p2):
    (f,) = materials.maps([(4, 6, 8, 8)], "s")
    value = FTLoss(p2=p2)(f, f)
    assert value == 0
    materials.gradients(value, [f])
    assert FTLoss(p2=p2)(f, materials.maps([(4, 6, 4, 4)], "t")[0]) > 0


def test_forms_and_the_teacher():
    f_s, f_t = materials.maps([(4, 6, 8, 8)], "s"), materials.maps([(4, 6, 16, 16)], "t")
    materials.assert_indifferent_to_form(of_lists, f_s, f_t)
    materials.assert_teacher_is_constant(of_lists, f_s, f_t)
    zero = torch.zeros(4, 6, 8, 8, requires_grad=True)
    materials.gradients(FTLoss()(zero, f_t[0]), [zero])


def test_the_paraphraser_rebuilds_the_map():
    torch.manual_seed(0)
    paraphraser, (f_t,) = Paraphraser(9, 4), materials.maps([(4, 9, 8, 8)], "t", relu=True)
    assert paraphraser.encoder(f_t).shape == (4, 4, 8, 8)
    first = paraphraser.loss(f_t)
    optimizer = torch.optim.SGD(paraphraser.parameters(), lr=0.1, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        loss = paraphraser.loss(f_t)
        loss.backward()
        optimizer.step()
    assert loss < 0.9 * first


def test_each_stage_trains_its_own_layers():
    example = materials.example()
    method = FT(example)
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    method.pretrain(student, teacher, materials.a_batch()).backward()
    assert set(method.pretrained_parameters(example.student_network)) == set(method.paraphraser.parameters())
    assert all(p.grad is not None for p in method.paraphraser.parameters())
    assert all(p.grad is None for p in [*method.translator.parameters(), *student.preact])
    method.zero_grad()
    method(student, teacher, materials.a_batch()).backward()
    assert all(p.grad is None for p in method.paraphraser.parameters())
    assert set(method.trained_parameters()) == set(method.translator.parameters())
    assert all(p.grad is not None for p in [*method.translator.parameters(), student.preact[-1]])


def test_the_rate_of_the_first_stage_depends_on_the_student():
    example = materials.example()
    rates = {}
    for name in ("resnet20", "wrn_40_1", "vgg8", "ShuffleV1"):
        rates[name] = FT(replace(example, student_model=name)).pretraining_rate(0.05)
    assert rates == {"resnet20": 0.01, "wrn_40_1": 0.01, "vgg8": 0.05, "ShuffleV1": 0.05}


def test_a_share_without_a_factor_is_refused():
    with pytest.raises(UserError, match=r"--ft_k 0\.01 leaves no factor of the 64 channels"):
        FT(materials.example(), ft_k=0.01)
