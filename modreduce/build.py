"""From names and flags to a group of students, ready to train."""

import argparse
from collections import Counter
from dataclasses import dataclass

import torch

from distiller_zoo import distiller_dict
from distiller_zoo.base import Example
from helper.batch import Output
from helper.checkpoint import digest, load_network
from helper.data import Data
from helper.errors import UserError
from helper.options import learning_rate_of
from helper.randomness import derive_seed
from models import model_dict
from modreduce import ensemble_dict
from modreduce.group import Group
from modreduce.student import LossWeights, Student, Teacher

EXAMPLE_IMAGES = 2


def load_teacher(args: argparse.Namespace, num_classes: int) -> tuple[Teacher, str]:
    """The frozen network of --path_t, and the SHA-256 of its weights."""
    if args.model_t is not None:
        check_model("--model_t", args.model_t)
    network, name, content = load_network(args.path_t, num_classes, args.model_t)
    return Teacher(network, name), digest(content["model"])


@dataclass(frozen=True)
class StudentPlan:
    """What to build: the student's name, its network, its method (None without teacher), weights and
    multiplier.
    """

    name: str
    model: str
    method: str | None
    weights: LossWeights
    multiplier: float = 1.0
    normalise: bool = True


def plan_students(args: argparse.Namespace) -> list[StudentPlan]:
    """One plan per `--distill` of `train_modreduce.py`; UserError if lists of other lengths are given.

    beta and the multiplier are each method's own unless given; they may be given once for all, or once per
    student.
    """
    count = len(args.distill)
    models = per_student("--model_s", args.model_s, count)
    betas = per_student("-b/--beta", args.beta or [None], count)
    multipliers = per_student("--multiplier", args.multiplier or [None], count)
    plans = []
    for name, method, model, beta, multiplier in zip(
        student_names(args.distill), args.distill, models, betas, multipliers, strict=True
    ):
        kind = distiller_dict[method]
        weights = LossWeights(args.gamma, args.alpha, kind.weight if beta is None else beta)
        if not sum(weights):
            raise UserError(
                f"student {name}: gamma, alpha and beta are all 0; at least one has to be above 0"
            )
        factor = kind.multiplier if multiplier is None else multiplier
        plans.append(StudentPlan(name, model, method, weights, factor))
    return plans


def per_student(flag: str, values: list, count: int) -> list:
    """One value per student, from one for all or one for each."""
    if len(values) not in (1, count):
        raise UserError(f"{flag} has {len(values)} values for {count} students: give one for all, or {count}")
    return list(values) * (count if len(values) == 1 else 1)


def student_names(methods: list[str]) -> list[str]:
    """Each student is called by its method; repeats are numbered from the second on: kd, kd_2, kd_3."""
    seen: Counter[str] = Counter()
    names = []
    for method in methods:
        seen[method] += 1
        names.append(method if seen[method] == 1 else f"{method}_{seen[method]}")
    return names


def build_group(
    plans: list[StudentPlan],
    teacher: Teacher | None,
    online: str,
    data: Data,
    args: argparse.Namespace,
    device: torch.device,
    precision: str,
) -> Group:
    """Networks, methods and the ensemble, initialised from the seed, on the device, channels-last.

    Each student's weights depend on the seed and its name alone, not on who its peers are.
    """
    method = ensemble_dict[online]
    if len(plans) < method.fewest_students:
        raise UserError(
            f"--online {online} needs at least {method.fewest_students} students, --distill names "
            f"{len(plans)}"
        )
    if teacher is not None:
        teacher.network.to(device, memory_format=torch.channels_last)
    students = [_student(plan, teacher, data, args, device) for plan in plans]
    torch.manual_seed(derive_seed(args.seed, "ensemble"))
    group = Group(
        students,
        teacher,
        method(students, data.num_classes, args),
        device=device,
        precision=precision,
        seed=args.seed,
        learning_rates=[learning_rate_of(args, plan.model) for plan in plans],
        ensemble_learning_rate=getattr(args, "ensemble_lr", 0.1),
        side_streams=args.cuda_graph and len(students) > 1,
    )
    return group.to(device)


def check_model(flag: str, name: str) -> str:
    """The name, if there is such a network; else UserError lists those there are."""
    if name not in model_dict:
        raise UserError(f"{flag} {name} is unknown; the networks are {', '.join(model_dict)}")
    return name


def _student(
    plan: StudentPlan, teacher: Teacher | None, data: Data, args: argparse.Namespace, device: torch.device
) -> Student:
    torch.manual_seed(derive_seed(args.seed, "network", plan.name))
    network = model_dict[check_model("--model_s", plan.model)](num_classes=data.num_classes)
    network = network.to(device, memory_format=torch.channels_last)
    distiller = None
    if teacher is not None and plan.method is not None and plan.weights.beta:
        example = _example(network, teacher, data, args, plan.name, device)
        distiller = distiller_dict[plan.method](example, args)
    return Student(
        plan.name,
        plan.model,
        network,
        distiller,
        plan.method,
        plan.weights,
        temperature=getattr(args, "kd_T", 4.0),
        multiplier=plan.multiplier,
        normalise=plan.normalise,
    )


@torch.no_grad()
def _example(
    network: torch.nn.Module,
    teacher: Teacher,
    data: Data,
    args: argparse.Namespace,
    name: str,
    device: torch.device,
) -> Example:
    """What the student's method needs to know of the networks and the data to size its layers."""
    size = data.images.shape[1]
    images = torch.zeros(EXAMPLE_IMAGES, 3, size, size, device=device)
    network.eval()
    student = Output(*network(images, is_feat=True))
    network.train()
    return Example(
        student=student,
        teacher=teacher(images),
        labels=torch.from_numpy(data.labels).to(device),
        batch_size=args.batch_size,
        num_classes=data.num_classes,
        seed=derive_seed(args.seed, "method", name),
    )
