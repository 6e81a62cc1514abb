"""The parts of a step, as calls of no argument that can be timed: the literal version's and ours."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.literal import ContrastiveImages, LiteralStep, loader
from dataset.base import DataSet
from dataset.data import Data, DataSettings, train_loader
from engine.optimizer import Recipe, make_optimizer
from engine.run_folder import Place
from engine.settings import Settings
from engine.step import GraphedStep, Step
from helper.device import Compute, autocast, full_precision, resolve
from models import model_dict
from modreduce.build import build_group, plan_students
from modreduce.teacher import Teacher
from reporting.published import Experiment

BATCH, NEGATIVES, WORKERS = 64, 16384, 2
MIDDLE, EPOCHS = 120, 240  # the epoch whose step is timed, of a whole run
METHODS = ("kd", "crd", "semckd")
# as many as the workers prefetch many times over, so that what they make while others are timed is not free
DATA_BATCHES = 40


class PlainImages(ContrastiveImages):
    """The literal data set without negatives, to time loading alone."""

    def draw(self, index: int) -> np.ndarray:
        return np.array([index])


def endless(batches: Iterable) -> Iterator:
    """Batches of one epoch after the other."""
    while True:
        yield from batches


class Parts(ABC):
    """What both versions have in common: three students, told apart by their place."""

    @abstractmethod
    def _student(self, position: int) -> None:
        """Forward and backward of the student in that place."""

    def kd(self) -> None:
        self._student(0)

    def crd(self) -> None:
        self._student(1)

    def semckd(self) -> None:
        self._student(2)


class Literal(Parts):
    """The parts of the literal step."""

    def __init__(self, experiment: Experiment, data: DataSet, device: torch.device):
        torch.manual_seed(0)
        networks = [model_dict[experiment.student](num_classes=data.num_classes) for _ in range(3)]
        teacher = model_dict[experiment.teacher](num_classes=data.num_classes)
        self.literal = LiteralStep(
            teacher,
            networks,
            n_data=len(data.train_images),
            negatives=NEGATIVES,
            batch_size=BATCH,
            device=device,
        )
        self.images = ContrastiveImages(data, NEGATIVES)
        self.with_negatives = endless(loader(data, NEGATIVES, BATCH, WORKERS))
        self.plain = endless(
            torch.utils.data.DataLoader(
                PlainImages(data, NEGATIVES), batch_size=BATCH, shuffle=True, num_workers=WORKERS
            )
        )
        self.sample = self.literal.to_device(next(self.with_negatives))
        self.features_t, self.logits_t = self.literal.watch_teacher(self.sample.images)
        for student in self.literal.students:
            student.learn_offline(self.sample, self.features_t, self.logits_t)
        with torch.no_grad():
            self.embedding = networks[1](self.sample.images, is_feat=True)[0][-1]

    def data(self) -> None:
        for _ in range(DATA_BATCHES):
            self.literal.to_device(next(self.plain))

    def teacher(self) -> None:
        self.literal.watch_teacher(self.sample.images)

    def _student(self, position: int) -> None:
        student = self.literal.students[position]
        student.learn_offline(self.sample, self.features_t, self.logits_t)
        student.offline_loss.backward()

    def negatives(self) -> Tensor:
        rows = np.stack([self.images.draw(int(index)) for index in self.sample.indices])
        return torch.from_numpy(rows).to(self.sample.images.device)

    def contrast(self) -> None:
        contrast = self.negatives()
        embedding = self.embedding.requires_grad_()
        method = self.literal.students[1].method
        method(embedding, self.features_t[-1], self.sample.indices, contrast).backward()

    def ensemble(self) -> None:
        fused = self.literal.fuse(self.sample.labels)
        for student in self.literal.students:
            logits = student.logits.detach().requires_grad_()
            torch.nn.functional.kl_div(
                (logits / 4).log_softmax(1), (fused / 4).softmax(1), reduction="batchmean"
            ).backward()

    def optimizer(self) -> None:
        for student in self.literal.students:
            student.optimizer.step()
        self.literal.ensemble_optimizer.step()

    def step(self) -> None:
        self.literal(next(self.with_negatives))

    def close(self) -> None:
        """End the workers."""
        self.with_negatives.close()
        self.plain.close()


class Ours(Parts):
    """The parts of this project's step, built as train_modreduce.py builds it; other methods and batches for
    `benchmarks/scaling.py`.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: DataSet,
        device: torch.device,
        compute: Compute,
        methods: Sequence[str] = METHODS,
        batch_size: int = BATCH,
    ):
        torch.manual_seed(0)
        self.device, self.precision = device, resolve(compute.precision, device)
        settings = benchmark_settings(compute, methods, batch_size)
        teacher = Teacher(model_dict[experiment.teacher](num_classes=data.num_classes), experiment.teacher)
        parts = Data(data, data.train, None)
        plans = plan_students(methods, [experiment.student], experiment.teacher, settings.options)
        online = "wavg" if len(methods) > 1 else "none"  # one alone has no peers to learn from
        self.group = build_group(plans, teacher, online, parts, settings, device, self.precision).train()
        if compute.compile:
            self.group.compile()
        loader = train_loader(parts, settings.data, settings.recipe.seed, device, True, self.group.views)
        self.batches = endless(loader.epoch(0))
        self.optimiser = make_optimizer(self.group, settings.recipe, capturable=compute.cuda_graph)
        step = Step(self.group, self.optimiser)
        self.run = GraphedStep(step) if compute.cuda_graph else step
        self.group.begin_epoch(MIDDLE, EPOCHS)
        self.batch = next(self.batches)
        self.run(self.batch)
        with autocast(device, self.precision):
            self.seen = teacher(self.batch)
            outputs = [student(self.batch, self.seen) for student in self.group.students]
        self.outputs = [output.detach() for output, _ in outputs]

    def data(self) -> None:
        for _ in range(DATA_BATCHES):
            next(self.batches)

    def teacher(self) -> None:
        with autocast(self.device, self.precision):
            self.group.teacher(self.batch)

    def _student(self, position: int) -> None:
        student = self.group.students[position]
        self.optimiser.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            _, terms = student(self.batch, self.seen)
        student.offline(terms).backward()

    def negatives(self) -> None:
        method = self.group.students[1].distiller
        for _ in method.negatives(self.batch.labels, method.random).blocks():
            pass

    def contrast(self) -> None:
        output = self.outputs[1]
        output.embedding.requires_grad_()
        with full_precision(self.device.type):
            loss = self.group.students[1].distiller(output, self.seen, self.batch)
        loss.backward()

    def ensemble(self) -> None:
        online, students = self.group.online, self.group.students
        logits = [output.logits.requires_grad_() for output in self.outputs]
        terms = [{"ce": z.new_zeros(())} for z in logits]
        online.observe(self.outputs)
        targets = online.targets([z.detach() for z in logits], self.batch)
        losses = [online.total(*each) for each in zip(students, logits, terms, targets, strict=True)]
        total = torch.stack(losses).sum()
        own = online.own_loss(self.batch)
        (total if own is None else total + own).backward()

    def optimizer(self) -> None:
        self.optimiser.step()

    def step(self) -> None:
        self.run(next(self.batches))


def benchmark_settings(compute: Compute, methods: Sequence[str], batch_size: int) -> Settings:
    """The published recipe for a step of these methods."""
    options: dict[str, Any] = dict.fromkeys(("gamma", "alpha", "beta", "multiplier"))
    if "crd" in methods:
        options["nce_k"] = NEGATIVES
    data = DataSettings(batch_size=batch_size)
    return Settings(data, Recipe(), compute, Place(), options, defaults={}, owners={})
