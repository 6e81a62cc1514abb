"""Online knowledge: ensembles against published values, schedules, and how a group of students trains."""

import argparse
import copy
import json
import math
from pathlib import Path

import pytest
import torch

from dataset.data import Data
from distiller_zoo import DistillKL, distiller_dict
from engine.optimizer import decayed_rate, make_optimizer
from engine.step import Step
from engine.task import TERMS
from helper.batch import Batch
from helper.errors import UserError
from models import model_dict
from modreduce import LossWeights, Teacher, ensemble_dict
from modreduce.build import StudentPlan, build_group, plan_students, student_names
from modreduce.schedule import consistency_weight, online_weight
from tests.golden.formula import fill, tensor

GOLDEN = json.loads((Path(__file__).parent / "golden" / "losses.json").read_text())
CPU = torch.device("cpu")


def flags(**changed) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for method in [*dict.fromkeys(distiller_dict.values()), *ensemble_dict.values()]:
        method.add_arguments(parser)
    defaults = {
        "kd_T": 4.0,
        "online_start": 0,
        "online_weight": 0.7,
        "online_weight_start": 0.01,
        "batch_size": 8,
        "seed": 1,
        "learning_rate": 0.05,
        "cuda_graph": False,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "gamma": 1.0,
        "alpha": 1.0,
        "beta": None,
        "multiplier": None,
    }
    return argparse.Namespace(**{**vars(parser.parse_args([])), **defaults, **changed})


@pytest.fixture(scope="module")
def data() -> Data:
    from dataset import load_dataset

    digits = load_dataset("digits", "unused")
    return Data(digits, digits.train_images[:200], digits.train_labels[:200], None)


@pytest.fixture(scope="module")
def batch(data) -> Batch:
    images = torch.from_numpy(data.images[:8]).permute(0, 3, 1, 2).float() / 128 - 1
    return Batch(images, torch.from_numpy(data.labels[:8]), torch.arange(8))


def teacher(classes=10) -> Teacher:
    torch.manual_seed(7)
    return Teacher(model_dict["resnet14"](num_classes=classes), "resnet14")


def group_of(methods, online, data, **changed):
    args = flags(distill=methods, model_s=["resnet8"], nce_k=32, **changed)
    return build_group(plan_students(args), teacher(), online, data, args, CPU, "fp32"), args


@pytest.mark.parametrize("online", ["one", "fc", "wavg"])
def test_ensembles_golden(online):
    golden = GOLDEN[f"ensemble_{online}"]
    ensemble = ensemble_dict[online]([None] * 3, 100, flags())
    if online == "wavg":
        with torch.no_grad():
            ensemble.theta.copy_(torch.tensor(golden["parameter"]))
    else:
        assert {k: list(v.shape) for k, v in ensemble.state_dict().items() if k != "weight"} == golden[
            "state"
        ]
        fill(ensemble.FC)  # keys without their prefix
        ensemble.FC.weight.data = tensor(
            "FC.weight", ensemble.FC.weight.shape, std=math.sqrt(2 / ensemble.FC.in_features)
        )
        ensemble.FC.bias.data = tensor("FC.bias", ensemble.FC.bias.shape, std=0.1)
    peers = [tensor(f"peer{i}", (8, 100), std=3) for i in range(3)]
    fused, weights = ensemble.fuse([], peers, tensor("image", (8, 3, 32, 32)))
    loss = torch.nn.functional.cross_entropy(fused, torch.arange(8) * 11)
    assert loss.item() == pytest.approx(golden["loss"], rel=1e-5)
    probe = (fused.double() * tensor("probe", (8, 100)).double()).sum().item()
    assert probe == pytest.approx(golden["out_probe"], rel=1e-4)
    if expected := golden.get("weights", golden.get("mean_weights")):
        assert weights.tolist() == pytest.approx(expected, rel=1e-5)
    assert weights.sum().item() == pytest.approx(1)


def test_schedules_golden():
    for epoch, weight in GOLDEN["online_weight_240"].items():
        assert online_weight(int(epoch), 240) == pytest.approx(weight, rel=1e-9)
    for epoch, weight in GOLDEN["pcl_rampup_80"].items():
        assert consistency_weight(int(epoch)) == pytest.approx(weight, rel=1e-9)
    for epochs in (1, 10, 24, 100, 240):
        weights = [online_weight(e, epochs) for e in range(epochs)]
        assert weights == sorted(weights) and weights[-1] <= 0.7 + 1e-12


def test_learning_rate_decays_after_the_named_epochs():
    rates = [decayed_rate(0.05, epoch, [150, 180, 210], 0.1) for epoch in (0, 149, 150, 180, 239)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.0005, 0.00005])


def test_students_are_named_by_method_and_given_the_published_weights():
    assert student_names(["kd", "crd", "kd", "kd"]) == ["kd", "crd", "kd_2", "kd_3"]
    plans = plan_students(flags(distill=["kd", "crd", "semckd", "rkd", "fitnet"], model_s=["resnet8"]))
    assert [(p.weights.beta, p.multiplier) for p in plans] == [
        (0, 10),
        (0.8, 1),
        (400, 100),
        (1, 1),
        (100, 100),
    ]
    with pytest.raises(UserError, match="--model_s has 2 values for 3 students"):
        plan_students(flags(distill=["kd", "crd", "semckd"], model_s=["resnet8", "vgg8"]))


def test_offline_loss_is_the_published_sum(data, batch):
    group, _ = group_of(["kd", "crd", "semckd"], "none", data)
    _, logged = group(batch)
    for row, m, beta in zip(logged, (10, 1, 100), (0, 0.8, 400), strict=True):
        values = dict(zip(TERMS, row.tolist(), strict=True))
        expected = m * (values["ce"] + values["kd"] + beta * values["method"]) / (2 + beta)
        assert values["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_single_student_has_the_plain_sum(data, batch):
    args = flags()
    plan = StudentPlan("rkd", "resnet8", "rkd", LossWeights(0.5, 0.2, 3.0), normalise=False)
    group = build_group([plan], teacher(), "none", data, args, CPU, "fp32")
    _, logged = group(batch)
    values = dict(zip(TERMS, logged[0].tolist(), strict=True))
    assert values["loss"] == pytest.approx(
        0.5 * values["ce"] + 0.2 * values["kd"] + 3 * values["method"], rel=1e-5
    )


@pytest.mark.parametrize("online", ["wavg", "one", "fc"])
def test_online_loss_mixes_with_the_epochs_weight(online, data, batch):
    group, _ = group_of(["kd", "rkd"], online, data)
    w = group.begin_epoch(120, 240)
    assert w == pytest.approx(online_weight(120, 240))
    _, logged = group(batch)
    for row, m, beta in zip(logged, (10, 1), (0, 1), strict=True):
        values = dict(zip(TERMS, row.tolist(), strict=True))
        offline = m * (values["ce"] + values["kd"] + beta * values["method"]) / (2 + beta)
        assert values["online"] > 0
        assert values["loss"] == pytest.approx(w * values["online"] + (1 - w) * offline, rel=1e-4)


def test_asynchronous_learning_is_offline_before_its_start(data, batch):
    group, _ = group_of(["kd", "rkd"], "wavg", data, online_start=5)
    assert [group.begin_epoch(e, 10) for e in (0, 4, 5, 9)] == [0, 0, 0.7, 0.7]


def test_the_weights_of_the_average_learn_whom_to_believe(data):
    ensemble = ensemble_dict["wavg"]([None] * 3, 10, flags())
    labels = torch.arange(64) % 10
    good = 5 * torch.nn.functional.one_hot(labels, 10).float()
    noise = [tensor(f"noise{i}", (64, 10), std=5) for i in range(2)]
    optimizer = torch.optim.SGD(ensemble.parameters(), lr=0.1, momentum=0.9)
    for _ in range(200):
        fused, _ = ensemble.combine(torch.stack([noise[0], good, noise[1]]), torch.zeros(64, 3, 32, 32))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(fused, labels).backward()
        optimizer.step()
    assert torch.softmax(ensemble.theta, 0)[1] > 0.9


def test_pcl_loss_is_the_published_one(data, batch):
    group, _ = group_of(["kd", "rkd"], "pcl", data, pcl_ramp_up=80)
    group.train()
    r = group.begin_epoch(40, 240)
    assert r == pytest.approx(consistency_weight(40))
    peers = group.online.peer_logits(batch.images)
    outputs = [student.network.train()(batch.images) for student in copy.deepcopy(group).students]
    _, logged = group(batch)
    for k, (m, beta) in enumerate([(10, 0), (1, 1)]):
        values = dict(zip(TERMS, logged[k].tolist(), strict=True))
        peer = DistillKL(3)(outputs[k], peers[1 - k]).item()
        assert values["online"] == pytest.approx(peer, rel=1e-4)
        total = values["ce"] + beta * values["method"] + r * values["kd"] + r * peer
        assert values["loss"] == pytest.approx(m * total / (1 + beta + 1 + r), rel=1e-4)


def test_pcl_averages_every_step_with_statistics(data, batch):
    group, args = group_of(["kd", "rkd"], "pcl", data)
    step = Step(group, make_optimizer(group, args))
    group.train()
    group.begin_epoch(0, 10)
    average = {k: v.clone() for k, v in group.online.averages[0].state_dict().items()}
    for t in range(3):
        step(batch)
        decay = min(1 - 1 / (t + 1), 0.999)
        for key, value in group.students[0].network.state_dict().items():
            if value.is_floating_point():
                average[key] = decay * average[key] + (1 - decay) * value
    for key, value in group.online.averages[0].state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, average[key], atol=1e-5), key
    assert "bn1.running_mean" in average


@pytest.mark.parametrize("online", ensemble_dict)
def test_the_order_of_the_students_changes_nothing(online, data, batch):
    """Trained together in any order, each student is the same; offline also the same as trained alone."""
    weights = []
    for methods in (["kd", "crd", "rkd"], ["rkd", "kd", "crd"]):
        group, args = group_of(methods, online, data)
        group.begin_epoch(0, 10)
        step = Step(group.train(), make_optimizer(group, args))
        if online == "fc":  # its matrix starts at random: give each student the same block wherever it stands
            blocks = {m: tensor(f"block {m}", (10, 10), std=0.1) for m in methods}
            group.online.FC.weight.data = torch.cat([blocks[m] for m in methods], dim=1)
        if online == "one":
            rows = {m: tensor(f"row {m}", (12,), std=0.1) for m in methods}
            group.online.FC.weight.data = torch.stack([rows[m] for m in methods])
            group.online.FC.bias.data.zero_()
        for _ in range(2):
            step(batch)
        weights.append({s.name: s.network.state_dict() for s in group.students})
    for name in weights[0]:
        for key, value in weights[0][name].items():
            assert torch.allclose(value.float(), weights[1][name][key].float(), atol=1e-4), (name, key)


def test_students_may_have_networks_of_their_own(data, batch):
    args = flags(distill=["kd", "semckd"], model_s=["vgg8", "ShuffleV2"], learning_rate=None)
    group = build_group(plan_students(args), teacher(), "wavg", data, args, CPU, "fp32")
    assert [g["lr"] for g in group.parameter_groups()] == [0.05, 0.01, 0.1]
    loss, logged = group(batch)
    assert torch.isfinite(loss) and logged.shape == (2, len(TERMS))


def test_an_ensemble_needs_two_students(data):
    with pytest.raises(UserError, match="--online wavg needs at least 2 students"):
        group_of(["kd"], "wavg", data)


def test_the_teacher_is_neither_trained_nor_saved(data, batch):
    group, args = group_of(["kd", "rkd"], "wavg", data)
    before = copy.deepcopy(group.teacher.network.state_dict())
    Step(group.train(), make_optimizer(group, args))(batch)
    for key, value in group.teacher.network.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any("teacher" in key for key in group.state_dict())
