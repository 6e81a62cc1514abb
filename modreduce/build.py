"""From names and flags to a group of students, ready to train."""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from dataset.data import Data
from distiller_zoo import distiller_dict
from distiller_zoo.base import Example
from engine.optimizer import learning_rate_of
from helper.arguments import Parser, non_negative_float, positive_float
from helper.batch import Output
from helper.errors import UserError
from helper.randomness import derive_seed
from models import model_dict
from models.checkpoint import check_model
from modreduce import ensemble_dict
from modreduce.fused import FusedEnsemble
from modreduce.group import Group
from modreduce.student import LossWeights, Student
from modreduce.teacher import Teacher

EXAMPLE_IMAGES = 2


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


def add_teacher_arguments(parser: Parser, many_students: bool = False) -> None:
    """The teacher, and the weights of the losses; with many students beta may be one number per student."""
    group = parser.add_argument_group("distillation")
    group.add_argument("--path_t", type=Path, required=True, help="the teacher's checkpoint")
    group.add_argument("--model_t", help="its network, where the checkpoint does not say")
    group.add_argument(
        "-r", "--gamma", type=non_negative_float, default=1.0, help="weight of cross-entropy (default 1)"
    )
    group.add_argument("-a", "--alpha", type=non_negative_float, default=1.0, help="weight of KD (default 1)")
    group.add_argument(
        "-b",
        "--beta",
        type=non_negative_float,
        nargs="+" if many_students else None,
        help="weight of the method (default: the method's own)",
    )
    group.add_argument("--kd_T", type=positive_float, default=4.0, help="temperature of KD (default 4)")


def load_ensemble(content: dict, where: str, students: int, num_classes: int) -> FusedEnsemble:
    """The ensemble of a run's ensemble_last.pth; UserError if it is none, or of other students or classes."""
    kind = ensemble_dict.get(str(content.get("online")))
    whole = content.keys() >= {"students", "num_classes", "state"}
    if kind is None or not issubclass(kind, FusedEnsemble) or not whole:
        raise UserError(
            f"{where} holds no ensemble that can fuse networks (its method: {content.get('online')}): give "
            "a run's ensemble_last.pth, or leave --ensemble out to fuse by the mean"
        )
    names, classes = content["students"], content["num_classes"]
    if len(names) != students or classes != num_classes:
        raise UserError(
            f"{where} fuses {len(names)} students ({', '.join(names)}) of {classes} classes: give "
            "--path these "
            f"{len(names)}, in this order, and a data set of {classes} classes (given: {students}, "
            f"{num_classes})"
        )
    settings = argparse.Namespace(kd_T=1.0, online_start=0, online_weight=0.0, online_weight_start=1.0)
    ensemble = kind([None] * students, num_classes, settings)
    try:
        ensemble.load_state_dict(content["state"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where} holds weights that do not fit {kind.name} with {students} students and {num_classes} "
            "classes: give a run's own ensemble_last.pth"
        ) from error
    return ensemble.eval()
