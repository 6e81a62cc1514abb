"""Two steps of any method with any pair of networks and any size of pictures, built as the commands do."""

from typing import Any

import numpy as np
import torch

from dataset.base import DataSet
from dataset.data import Data
from distiller_zoo import distiller_dict
from helper.batch import Batch
from helper.sizes import ImageSize, sides
from models import build_network
from modreduce.build import build_group, plan_students
from modreduce.group import Group
from modreduce.teacher import Teacher
from tests.modreduce.groups import CPU, settings_of

CLASSES, BATCH, IMAGES = 5, 8, 40


def data_of(size: ImageSize, classes: int = CLASSES, images: int = IMAGES) -> Data:
    """Black pictures of that size, at least one per class."""
    labels = np.arange(max(images, classes)) % classes
    pixels = np.zeros((len(labels), *sides(size), 3), np.uint8)
    dataset = DataSet("black", pixels, labels, pixels[:2], labels[:2], classes, (0.5,) * 3, (0.5,) * 3)
    return Data(dataset, dataset.train, None)


def group_for(
    method: str, student: str, teacher: str, size: ImageSize, classes: int = CLASSES, **options: Any
) -> Group:
    """A student of that network and method, and its teacher, whose weights are untrained."""
    torch.manual_seed(7)
    frozen = Teacher(build_network(teacher, classes, size), teacher)
    settings = settings_of(**{"nce_k": 16} | options)
    plans = plan_students([method], [student], teacher, settings.options)
    return build_group(plans, frozen, "none", data_of(size, classes), settings, CPU, "fp32")


def batch_for(method: str, size: ImageSize, step: int = 0, classes: int = CLASSES) -> Batch:
    """Pictures of noise, further views among them, of the first images of `data_of`."""
    random = torch.Generator().manual_seed(step)
    names = ("images", *distiller_dict[method].views)
    noise = {name: torch.randn(BATCH, 3, *sides(size), generator=random) for name in names}
    indices = torch.arange(BATCH) + step * BATCH
    return Batch(noise.pop("images"), indices % classes, indices, noise)


def two_steps(group: Group, method: str, size: ImageSize, classes: int = CLASSES) -> list[str]:
    """Two steps of each stage; the names of weights that are trained and that no gradient reached.

    Every loss and every gradient has to be finite.
    """
    (student,) = group.students
    unreached = []
    for stage in ("pretraining", "training") if student.pretraining else ("training",):
        group.begin_stage(stage)
        group.begin_epoch(-1 if stage == "pretraining" else 0, 10)
        group.train()
        trained = [p for one in group.parameter_groups() for p in one["params"]]
        optimizer = torch.optim.SGD(trained, lr=1e-4)
        names = {id(p): name for name, p in group.named_parameters()}
        for step in range(2):
            optimizer.zero_grad()
            loss, _ = group(batch_for(method, size, step, classes))
            assert loss.isfinite(), (method, stage, step, loss)
            loss.backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in trained)
            optimizer.step()
        unreached += [names[id(p)] for p in trained if p.grad is None]
    return unreached
