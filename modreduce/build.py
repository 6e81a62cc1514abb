"""From names and settings to a group of students, ready to train."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dataset.data import Data
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, Example, LossWeights
from engine.settings import Settings
from helper.arguments import options_of
from helper.batch import Batch
from helper.distributed import Ranks
from helper.errors import UserError
from helper.randomness import derive_seed
from helper.sizes import sides
from models import build_network, is_foreign
from models.checkpoint import no_taps
from models.initial import initialise
from modreduce import ensemble_dict
from modreduce.group import Group
from modreduce.labels import LabelLoss, balanced_weights
from modreduce.student import Student, StudentPlan
from modreduce.teacher import Teacher, outputs
from modreduce.trial import check_training, make_distiller, refuse_draws, with_reasons

EXAMPLE_IMAGES = 2


def plan_students(
    methods: Sequence[str],
    models: Sequence[str],
    teacher: str,
    options: Mapping[str, Any],
    normalise: bool = True,
) -> list[StudentPlan]:
    """One plan per method; UserError if lists of other lengths are given, or if nothing of a
    student's loss counts.

    Weights and multiplier are those that the method was published with, for this pair if the pair is known,
    unless given; models, beta and multiplier may be given once for all, or once per student. Without methods
    there is one plan per model, of a student that learns from labels (and from its peers) alone.
    """
    count = len(methods) or len(models)
    taps = per_student("--taps_s", taps_of_students(options.get("taps_s")), count)
    inits = per_student("--init_s", as_list(options.get("init_s")), count)
    if not methods:
        names = student_names(["peer"] * len(models))
        plans = [
            StudentPlan(name, model, None, LossWeights(1.0, 0.0, 0.0), label="Peer")
            for name, model in zip(names, models, strict=True)
        ]
        return [asked_of(*each, options) for each in zip(plans, taps, inits, strict=True)]
    models = per_student("--model_s", models, count)
    betas = per_student("-b/--beta", as_list(options["beta"]), count)
    multipliers = per_student("--multiplier", as_list(options.get("multiplier", 1.0)), count)
    plans = []
    for name, method, model, beta, multiplier in zip(
        student_names(methods), methods, models, betas, multipliers, strict=True
    ):
        kind = distiller_dict[method]
        own = kind.weights_for(model, teacher, **options_of(kind, options))
        given = (options["gamma"], options["alpha"], beta)
        weights = LossWeights(*(w if g is None else g for g, w in zip(given, own, strict=True)))
        if not sum(weights):
            raise UserError(
                f"student {name}: gamma, alpha and beta are all 0; at least one has to be above 0"
            )
        plans.append(
            StudentPlan(
                name,
                model,
                method,
                weights,
                factor_of(kind, weights) if multiplier is None else multiplier,
                normalise,
                kind.network_name(model, teacher) if weights.beta else model,
                kind.label,
            )
        )
    return [asked_of(*each, options) for each in zip(plans, taps, inits, strict=True)]


def taps_of_students(given: Sequence | None) -> list[Sequence[str] | None]:
    """--taps_s as one entry for all or one per student, whether the script takes one list or several."""
    if given is None or isinstance(given[0], str):
        return [given]
    return list(given)


def asked_of(
    plan: StudentPlan, taps: Sequence[str] | None, init: Path | None, options: Mapping[str, Any]
) -> StudentPlan:
    """The plan with what was asked of its network; UserError if that has taps and is none of other code."""
    foreign = is_foreign(plan.model)
    if taps is not None and not foreign:
        raise UserError(no_taps("--taps_s", plan.model))
    return replace(
        plan,
        taps=None if taps is None else tuple(taps),
        small_stem=foreign and bool(options.get("small_stem")),
        init=init,
    )


def factor_of(kind: type[Distiller], weights: LossWeights) -> float:
    """ModReduce's factor of a method's offline loss, or the one that makes it the plain published sum."""
    return sum(weights) if kind.multiplier is None else kind.multiplier


def as_list(value: Any) -> list:
    """One value, or several, as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def per_student(flag: str, values: Sequence, count: int) -> list:
    """One value per student, from one for all or one for each."""
    if len(values) not in (1, count):
        raise UserError(f"{flag} has {len(values)} values for {count} students: give one for all, or {count}")
    return list(values) * (count if len(values) == 1 else 1)


def student_names(methods: Sequence[str]) -> list[str]:
    """Each student is called by its method; repeats are numbered from the second on: kd, kd_2, kd_3."""
    seen: Counter[str] = Counter()
    names = []
    for method in methods:
        seen[method] += 1
        names.append(method if seen[method] == 1 else f"{method}_{seen[method]}")
    return names


def check_ensemble(online: str, students: int) -> None:
    """Raise UserError if the ensemble needs more students."""
    fewest = ensemble_dict[online].fewest_students
    if students < fewest:
        raise UserError(f"--online {online} needs at least {fewest} students, --distill names {students}")


def check_unlabelled(plans: Sequence[StudentPlan]) -> None:
    """Raise UserError, which names the methods that are allowed, if one of these needs the label of every
    image.
    """
    for plan in plans:
        if plan.method and plan.weights.beta and distiller_dict[plan.method].reads_labels:
            allowed = ", ".join(name for name, kind in distiller_dict.items() if not kind.reads_labels)
            raise UserError(
                f"--distill {plan.method} needs the label of every image, and some training images have "
                f"none: allowed are {allowed}"
            )


def build_group(
    plans: Sequence[StudentPlan],
    teacher: Teacher | None,
    online: str,
    data: Data,
    settings: Settings,
    device: torch.device,
    precision: str,
    ranks: Ranks | None = None,
) -> Group:
    """Networks, methods and the ensemble, initialised from the seed, on the device, channels-last.

    Each student's weights depend on the seed and its name alone, not on who its peers are. ranks: the
    processes over which the students are spread; UserError if one's network draws random numbers then.
    """
    ranks = ranks or Ranks()
    check_ensemble(online, len(plans))
    if data.has_unlabelled:
        check_unlabelled(plans)
    if teacher is not None:
        teacher.to(device)
    label_loss = _label_loss(data, settings).to(device)
    students = [_student(plan, teacher, data, settings, device, label_loss) for plan in plans]
    fixed_batch = any(s.distiller is not None and s.distiller.fixed_batch for s in students)
    for student in students:
        size, counts = data.dataset.image_size, (len(data.train), settings.data.batch_size)
        check_training(student.network, student.plan.arch, size, *counts, fixed_batch)
        if ranks.world > 1:
            refuse_draws(student.network, student.plan.arch, size)
    seed = settings.recipe.seed
    torch.manual_seed(derive_seed(seed, "ensemble"))
    kind = ensemble_dict[online]
    ensemble = kind(len(students), data.num_classes, **options_of(kind, settings.options))
    ensemble.join(students)
    if data.has_unlabelled:
        ensemble.take_unlabelled()
    group = Group(
        students,
        teacher,
        ensemble,
        device=device,
        precision=precision,
        eval_precision=settings.compute.eval_precision,
        seed=seed,
        learning_rates=[settings.recipe.rate_of(plan.model) for plan in plans],
        side_streams=settings.compute.cuda_graph and len(students) > 1,
        ema=settings.recipe.ema,
        unlabelled=data.has_unlabelled,
        ranks=ranks,
    )
    return group.to(device)


def _label_loss(data: Data, settings: Settings) -> LabelLoss:
    """What students learn from the labels, as --class_weights says."""
    weights = None
    if settings.recipe.class_weights == "balanced":
        weights = balanced_weights(torch.from_numpy(data.labels), data.num_classes)
    return LabelLoss(weights, data.has_unlabelled)


def _student(
    plan: StudentPlan,
    teacher: Teacher | None,
    data: Data,
    settings: Settings,
    device: torch.device,
    label_loss: LabelLoss,
) -> Student:
    seed = settings.recipe.seed
    torch.manual_seed(derive_seed(seed, "network", plan.name))
    size = data.dataset.image_size
    network = build_network(plan.model, data.num_classes, size, plan.taps, plan.small_stem)
    said = [] if plan.init is None else [initialise(network, plan.model, plan.init)]
    network = network.to(device, memory_format=torch.channels_last)
    if teacher is None or plan.method is None:
        return Student(plan, network, said=said, label_loss=label_loss)
    kind: type[Distiller] = distiller_dict[plan.method]
    options = options_of(kind, settings.options)
    distiller = None
    if plan.weights.beta:
        network = kind.network(network, teacher.network, data.num_classes)
        network = network.to(device, memory_format=torch.channels_last)
        example = _example(network, teacher, data, settings, plan, device)
        distiller = make_distiller(kind, plan.method, example, teacher, options).to(device)
    kd = kind.kd_loss(plan.model, teacher.name, **{"kd_T": settings.options.get("kd_T")} | options)
    return Student(plan, network, distiller, kd, kind.has_free_scale(**options), said, label_loss)


@torch.no_grad()
def _example(
    network: torch.nn.Module,
    teacher: Teacher,
    data: Data,
    settings: Settings,
    plan: StudentPlan,
    device: torch.device,
) -> Example:
    """What the student's method needs to know of the networks and the data to size its layers."""
    labels = torch.from_numpy(data.labels).to(device)
    images = torch.zeros(EXAMPLE_IMAGES, 3, *sides(data.dataset.image_size), device=device)
    batch = Batch(images, labels[:EXAMPLE_IMAGES], torch.arange(EXAMPLE_IMAGES, device=device))
    network.eval()
    student = outputs(network, batch)
    network.train()
    return Example(
        student=with_reasons(student, network, plan.method, "--taps_s"),
        teacher=with_reasons(teacher(batch), teacher.network, plan.method, "--taps_t"),
        labels=labels,
        batch_size=settings.data.batch_size,
        num_classes=data.num_classes,
        seed=derive_seed(settings.recipe.seed, "method", plan.name),
        student_network=network,
        teacher_network=teacher.network,
        student_model=plan.model,
        teacher_model=teacher.name,
    )
