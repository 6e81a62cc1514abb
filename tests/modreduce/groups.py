"""Groups of real students, as the commands build them, from settings made by constructors."""

from collections.abc import Sequence
from typing import Any

import torch

from dataset.data import Data, DataSettings
from engine.optimizer import Recipe
from engine.run_folder import Place
from engine.settings import Settings
from engine.task import Logged
from helper.device import Compute
from models import model_dict
from modreduce.build import build_group, plan_students
from modreduce.group import Group
from modreduce.student import StudentPlan
from modreduce.teacher import Teacher

CPU = torch.device("cpu")
RECIPE = Recipe(learning_rate=0.05)
USUAL = {"gamma": None, "alpha": None, "beta": None, "multiplier": None, "nce_k": 32}


def settings_of(recipe: Recipe = RECIPE, **options: Any) -> Settings:
    """The settings of a run on batches of 8, with flags of methods and ensembles that differ from theirs."""
    data = DataSettings(batch_size=8)
    return Settings(data, recipe, Compute(), Place(), USUAL | options, defaults={}, owners={})


def teacher(classes: int = 10) -> Teacher:
    """An untrained teacher, the same at every call."""
    torch.manual_seed(7)
    return Teacher(model_dict["resnet14"](num_classes=classes), "resnet14")


def plans_of(
    methods: Sequence[str], models: Sequence[str] = ("resnet8",), **options: Any
) -> list[StudentPlan]:
    """Plans of students of `teacher`."""
    return plan_students(methods, models, "resnet14", settings_of(**options).options)


def built(plans: Sequence[StudentPlan], online: str, data: Data, settings: Settings) -> Group:
    """A group on the CPU in fp32."""
    return build_group(plans, teacher(), online, data, settings, CPU, "fp32")


def group_of(methods: Sequence[str], online: str, data: Data, **options: Any) -> Group:
    """A group of resnet8 students with these flags."""
    return built(plans_of(methods, **options), online, data, settings_of(**options))


def logged_values(logged: Logged) -> list[dict[str, float]]:
    """What a step logged, per student, by the terms' names."""
    return [dict(zip(logged.terms, row, strict=True)) for row in logged.values.tolist()]
