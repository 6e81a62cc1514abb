"""The further online methods in a Group of real students, with and without a teacher."""

import pytest
import torch

from helper.batch import Batch
from models import build_network
from modreduce import ensemble_dict
from modreduce.group import Group
from modreduce.student import LossWeights, Student, StudentPlan
from modreduce.teacher import Teacher

CLASSES = 10
IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, torch.tensor([0, 1, 2, 1]), torch.arange(4))


def group_of(online: str, has_teacher: bool, models: tuple[str, ...] = ("resnet8",) * 3) -> Group:
    torch.manual_seed(0)
    weights = LossWeights(1.0, 1.0 if has_teacher else 0.0, 0.0)
    students = [
        Student(StudentPlan(f"s{k}", model, None, weights), build_network(model, CLASSES))
        for k, model in enumerate(models)
    ]
    teacher = Teacher(build_network("resnet14", CLASSES), "resnet14") if has_teacher else None
    method = ensemble_dict[online](len(students), CLASSES)
    method.join(students)
    return Group(
        students,
        teacher,
        method,
        device=torch.device("cpu"),
        precision="fp32",
        seed=0,
        learning_rates=[0.1] * len(students),
    )


@pytest.mark.parametrize("has_teacher", [False, True])
@pytest.mark.parametrize("online", ["mean", "dml", "kdcl", "okddip"])
def test_everyone_learns(online, has_teacher):
    group = group_of(online, has_teacher).train()
    weight = group.begin_epoch(5, 10)
    assert 0.0 < weight <= 1.0
    loss, logged = group(BATCH)
    assert "online" in logged.terms
    loss.backward()
    for rows in group.parameter_groups():
        assert all(p.grad is not None and p.grad.isfinite().all() for p in rows["params"])
    named, weights = group.eval().predict(IMAGES)
    assert named["ensemble"].shape == (4, CLASSES)
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_attention_of_okddip_is_trained_as_the_ensemble():
    group = group_of("okddip", False, ("resnet8", "resnet8", "vgg8"))
    names = {rows["name"]: len(rows["params"]) for rows in group.parameter_groups()}
    assert names["ensemble"] == 2
