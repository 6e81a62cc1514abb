"""NORM: the changed network, the copies, the schedule, what it deploys."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from distiller_zoo.kd import DistillKL
from distiller_zoo.norm import NORM, NORMLoss, schedule
from helper.batch import Output
from helper.errors import UserError
from models.many_to_one import COPIES, NORMNetwork, fixed_norm
from tests.distiller_zoo import materials

TEACHER = (8, 16), (64, 8)
SMALL = materials.SmallNetwork(((8, 16), (5, 8)))


class Pooled(nn.Module):
    """One stage whose map, or that behind a batch norm and ReLU, is averaged to the embedding."""

    def __init__(self, behind_norm: bool = False):
        super().__init__()
        self.behind_norm = behind_norm
        self.stage = nn.Conv2d(3, 6, 3, stride=4, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, materials.CLASSES)

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        return [self.bn]

    def outputs(self, images: Tensor) -> Output:
        x = self.stage(images)
        preact = self.bn(x)
        maps = x if self.behind_norm else preact.relu()
        embedding = preact.relu().mean((2, 3))
        return Output(images, [maps], [preact], embedding, self.classifier(embedding))


def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def method_of(network: nn.Module, teacher: tuple = TEACHER) -> NORM:
    example = materials.example(teacher=teacher)
    output = network.eval().outputs(images()).detach()
    network.train()
    return NORM(dataclasses.replace(example, student=output, student_network=network))


@pytest.mark.parametrize("behind_norm", [False, True])
def test_the_residual_goes_into_the_averaged_map(behind_norm):
    torch.manual_seed(0)
    student = Pooled(behind_norm)
    network = NORMNetwork.of(student, SMALL, 10).eval()
    output = network.outputs(images())
    plain = student.outputs(images())
    averaged = plain.preact[-1].relu()
    expanded, residual = network.head(averaged)
    assert expanded.shape == (4, 5 * COPIES, 8, 8)
    torch.testing.assert_close(output.maps[-1], expanded)
    torch.testing.assert_close(output.embedding, (averaged + residual).mean((2, 3)))
    torch.testing.assert_close(output.logits, fixed_norm(student.classifier(output.embedding)))
    torch.testing.assert_close(network(images()), output.logits)
    features, logits = network(images(), is_feat=True)
    assert len(features) == 4 and torch.equal(logits, output.logits)


class Headed(nn.Module):
    """Two layers behind the last map, in the form of the networks of models/."""

    def __init__(self):
        super().__init__()
        self.stage, self.conv2 = nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.Conv2d(6, 9, 1)
        self.bn, self.classifier = nn.BatchNorm2d(9), nn.Linear(9, materials.CLASSES)

    def stem(self, images: Tensor) -> Tensor:
        return images

    def through_stages(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        before = self.stage(x)
        return [(before, before.relu())]

    def embed(self, before: Tensor, after: Tensor) -> Tensor:
        return self.bn(self.conv2(after)).relu().mean((2, 3))

    def outputs(self, images: Tensor) -> Output:
        [(before, after)] = self.through_stages(images)
        embedding = self.embed(before, after)
        return Output(images, [after], [before], embedding, self.classifier(embedding))


def test_more_layers_behind_the_last_map_see_its_residual_once_per_step():
    torch.manual_seed(0)
    student = Headed()
    network = NORMNetwork.of(student, SMALL, 10)
    output = network.outputs(images())
    assert student.bn.num_batches_tracked == 1
    last = student.stage(images()).relu()
    torch.testing.assert_close(output.embedding, student.embed(last, last + network.head(last)[1]))
    assert output.maps[-1].shape == (4, 5 * COPIES, 8, 8)


def test_building_leaves_mode_and_statistics_alone():
    student = Pooled()
    before = copy.deepcopy(student.state_dict())
    state = torch.get_rng_state()
    student.eval()
    NORM.network(student, materials.SmallNetwork(), materials.CLASSES)
    assert not student.training
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert not torch.equal(torch.get_rng_state(), state)  # the head's weights are drawn from the stream


def test_copies_of_the_teacher_lose_nothing():
    (f_t,) = materials.maps([(2, 5, 8, 8)], "t")
    assert NORMLoss()(f_t.repeat(1, 8, 1, 1), f_t) == 0
    small = torch.nn.functional.max_pool2d(f_t, 2)
    assert NORMLoss()(small.repeat(1, 8, 1, 1), f_t) == 0


def test_form_of_the_maps():
    def on_lists(a: list, b: list) -> Tensor:
        return NORMLoss()(a[0], b[0])

    f_s, f_t = materials.maps([(2, 40, 8, 8), (2, 5, 8, 8)], "m")
    materials.assert_indifferent_to_form(on_lists, [f_s], [f_t])
    materials.assert_teacher_is_constant(on_lists, [f_s], [f_t])


def test_logits_have_a_fixed_norm_and_uniform_ones_a_finite_gradient():
    z = 100 * torch.randn(4, 10) + 7
    torch.testing.assert_close(fixed_norm(z).std(dim=1, correction=0), torch.full((4,), 2.5))
    uniform = torch.full((4, 10), 3.0, requires_grad=True)
    materials.gradients(fixed_norm(uniform).log_softmax(1)[:, 0].sum(), [uniform])


def test_schedule_stretches_over_the_run():
    assert [schedule(e, 24) for e in (0, 1, 2, 17, 18, 21, 23)] == [0.1, 0.5, 1.0, 1.0, 0.5, 0.1, 0.1]
    assert schedule(0, 1) == 0.1 and schedule(-1, 240) == 0.1


def test_method_trains_the_head():
    torch.manual_seed(0)
    network = NORM.network(Pooled(), materials.SmallNetwork(TEACHER), materials.CLASSES)
    method = method_of(network)
    method.begin_epoch(100, 240)
    student, teacher = network.outputs(images()), materials.output(TEACHER, "t", batch=4)
    loss = method(student, teacher, materials.a_batch(4))
    materials.gradients(loss, list(network.head.expand.parameters()))
    method.begin_epoch(0, 240)
    torch.testing.assert_close(method(student, teacher, materials.a_batch(4)), 0.1 * loss)


def test_kd_beside_it_compares_logits_of_fixed_norm():
    z_s, z_t = materials.maps([(4, 10), (4, 10)], "z")
    kd = NORM.kd_loss("resnet8x4", "resnet32x4", kd_T=2.0)
    torch.testing.assert_close(kd(z_s, 7 * z_t), kd(z_s, z_t))
    torch.testing.assert_close(kd(z_s, z_t), DistillKL(2.0)(z_s, fixed_norm(z_t)))


def test_averages_are_copied_apart():
    network = NORMNetwork.of(Pooled(), SMALL, 10).eval()
    twin = copy.deepcopy(network)
    nn.init.zeros_(twin.head.contract[0].weight)
    assert not torch.equal(twin(images()), network(images()))


def test_what_it_cannot_serve_is_said():
    with pytest.raises(UserError, match="norm cannot serve a SmallNetwork as student"):
        NORM.network(materials.SmallNetwork(), materials.SmallNetwork(), materials.CLASSES)
    network = NORMNetwork.of(Pooled(), materials.SmallNetwork(TEACHER), 10)
    with pytest.raises(UserError, match="8 x 8 with the teacher's 4 x 4"):
        method_of(network, materials.TEACHER)
