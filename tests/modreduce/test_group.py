"""Online knowledge: ensembles against published values, schedules, and how a group of students trains."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distiller_zoo import DistillKL
from distiller_zoo.base import LossWeights
from engine.optimizer import decayed_rate, make_optimizer
from engine.step import Step
from helper.errors import UserError
from modreduce import ensemble_dict
from modreduce.build import student_names
from modreduce.schedule import consistency_weight, online_weight
from modreduce.student import StudentPlan
from modreduce.wavg import WeightedAverage
from tests.golden.formula import fill, tensor
from tests.modreduce.groups import RECIPE, built, group_of, logged_values, plans_of, settings_of

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())


@pytest.mark.parametrize("online", ["one", "fc", "wavg"])
def test_ensembles_golden(online):
    golden = GOLDEN[f"ensemble_{online}"]
    ensemble = ensemble_dict[online](3, 100)
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
    fused, weights = ensemble.fuse(peers, tensor("image", (8, 3, 32, 32)))
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
    plans = plans_of(["kd", "crd", "semckd", "rkd", "fitnet"])
    assert [(p.weights.beta, p.multiplier) for p in plans] == [
        (0, 10),
        (0.8, 1),
        (400, 100),
        (1, 1),
        (100, 100),
    ]
    with pytest.raises(UserError, match="--model_s has 2 values for 3 students"):
        plans_of(["kd", "crd", "semckd"], ["resnet8", "vgg8"])


def test_offline_loss_is_the_published_sum(data, batch):
    group = group_of(["kd", "crd", "semckd"], "none", data)
    _, logged = group(batch)
    for values, m, beta in zip(logged_values(logged), (10, 1, 100), (0, 0.8, 400), strict=True):
        expected = m * (values["ce"] + values["kd"] + beta * values.get("method", 0)) / (2 + beta)
        assert values["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_single_student_has_the_plain_sum(data, batch):
    plan = StudentPlan("rkd", "resnet8", "rkd", LossWeights(0.5, 0.2, 3.0), normalise=False)
    group = built([plan], "none", data, settings_of())
    _, logged = group(batch)
    (values,) = logged_values(logged)
    assert values["loss"] == pytest.approx(
        0.5 * values["ce"] + 0.2 * values["kd"] + 3 * values["method"], rel=1e-5
    )


@pytest.mark.parametrize("online", ["wavg", "one", "fc"])
def test_online_loss_mixes_with_the_epochs_weight(online, data, batch):
    group = group_of(["kd", "rkd"], online, data)
    w = group.begin_epoch(120, 240)
    assert w == pytest.approx(online_weight(120, 240))
    _, logged = group(batch)
    for values, m, beta in zip(logged_values(logged), (10, 1), (0, 1), strict=True):
        offline = m * (values["ce"] + values["kd"] + beta * values["method"]) / (2 + beta)
        assert values["online"] > 0
        assert values["loss"] == pytest.approx(w * values["online"] + (1 - w) * offline, rel=1e-4)


def test_asynchronous_learning_is_offline_before_its_start(data, batch):
    group = group_of(["kd", "rkd"], "wavg", data, online_start=5)
    assert [group.begin_epoch(e, 10) for e in (0, 4, 5, 9)] == [0, 0, 0.7, 0.7]


def test_the_weights_of_the_average_learn_whom_to_believe():
    ensemble = WeightedAverage(3, 10)
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
    group = group_of(["kd", "rkd"], "pcl", data, pcl_ramp_up=80)
    group.train()
    r = group.begin_epoch(40, 240)
    assert r == pytest.approx(consistency_weight(40))
    peers = group.online.peer_logits(batch.images)
    outputs = [student.network.train()(batch.images) for student in copy.deepcopy(group).students]
    _, logged = group(batch)
    for k, (values, m, beta) in enumerate(zip(logged_values(logged), (10, 1), (0, 1), strict=True)):
        peer = DistillKL(3)(outputs[k], peers[1 - k]).item()
        assert values["online"] == pytest.approx(peer, rel=1e-4)
        total = values["ce"] + beta * values["method"] + r * values["kd"] + r * peer
        assert values["loss"] == pytest.approx(m * total / (1 + beta + 1 + r), rel=1e-4)


def test_pcl_averages_every_step_with_statistics(data, batch):
    group = group_of(["kd", "rkd"], "pcl", data)
    step = Step(group, make_optimizer(group, RECIPE))
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
    """Trained together in any order, each student is the same; the last one of okddip stays the last."""
    weights = []
    for methods in (["kd", "crd", "at"], ["crd", "kd", "at"] if online == "okddip" else ["at", "kd", "crd"]):
        group = group_of(methods, online, data)
        group.begin_epoch(0, 10)
        step = Step(group.train(), make_optimizer(group, RECIPE))
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
    settings = settings_of(replace(RECIPE, learning_rate=None))
    group = built(plans_of(["kd", "semckd"], ["vgg8", "ShuffleV2"]), "wavg", data, settings)
    assert [g["lr"] for g in group.parameter_groups()] == [0.05, 0.01, 0.1]
    loss, logged = group(batch)
    assert torch.isfinite(loss) and logged.values.shape == (2, len(logged.terms))


def test_an_ensemble_needs_two_students(data):
    with pytest.raises(UserError, match="--online wavg needs at least 2 students"):
        group_of(["kd"], "wavg", data)


def test_the_teacher_is_neither_trained_nor_saved(data, batch):
    group = group_of(["kd", "rkd"], "wavg", data)
    before = copy.deepcopy(group.teacher.network.state_dict())
    Step(group.train(), make_optimizer(group, RECIPE))(batch)
    for key, value in group.teacher.network.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any("teacher" in key for key in group.state_dict())
