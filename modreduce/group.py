"""The students of one teacher, as one thing to train."""

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distiller_zoo.base import Distiller
from engine.averages import ExponentialAverages
from engine.task import PRETRAINING, TRAINING, Logged, Task
from helper.batch import Batch
from helper.device import autocast
from helper.randomness import derive_seed
from models.tapped import said_of, tap_names
from modreduce.online import OnlineMethod
from modreduce.student import Student
from modreduce.teacher import Teacher
from modreduce.terms import logged, method_sum

LARGEST_TABLES = 1 << 29  # bytes


class Group(Task):
    """N students, their teacher if there is one, and the way in which they learn online.

    `train_teacher.py` trains a group of one without teacher, `train_student.py` one with a teacher, and
    `train_modreduce.py` N students with an ensemble: the step is the same.

    learning_rates: one per student; precision, eval_precision: of the networks in training and in `predict`;
    ema: decay of the moving averages of the students' networks, 0 for none; unlabelled: whether images may be
    without a label.
    """

    def __init__(
        self,
        students: Sequence[Student],
        teacher: Teacher | None,
        online: OnlineMethod,
        *,
        device: torch.device,
        precision: str,
        seed: int,
        learning_rates: Sequence[float],
        eval_precision: str = "fp32",
        side_streams: bool = False,
        ema: float = 0.0,
        unlabelled: bool = False,
    ):
        super().__init__()
        self.students = nn.ModuleList(students)
        self.online = online
        self.teacher = teacher
        self.device, self.seed = device, seed
        self.precision, self.eval_precision = precision, eval_precision
        self.learning_rates = list(learning_rates)
        self.unlabelled = unlabelled
        self.ensemble = online.name if online.has_ensemble else None
        self.fixed_batch = any(distiller.fixed_batch for distiller in self.distillers)
        self.views = tuple(dict.fromkeys(view for distiller in self.distillers for view in distiller.views))
        self.stage = TRAINING
        # only where they are asked for, so that states without them load
        self.averages = ExponentialAverages(self._own_networks(), ema) if ema else None
        self._streams = [torch.cuda.Stream(device) for _ in students] if side_streams else None

    @property
    def distillers(self) -> list[Distiller]:
        """The methods of the students that have one."""
        return [student.distiller for student in self.students if student.distiller is not None]

    @property
    def form(self) -> Hashable:
        return self.stage, self.online.form

    def pretraining_epochs(self, asked: int | None) -> int:
        own = max((student.pretraining for student in self.students), default=0)
        return own if asked is None or not own else asked

    def begin_stage(self, name: str) -> None:
        self.stage = name
        if self.averages is not None and name == TRAINING:  # what a first stage made is where they begin
            self.averages.restart(self._own_networks())

    def parameter_groups(self) -> list[dict]:
        """One group of parameters per student with its learning rate, and the ensemble's if it learns."""
        pretraining = self.stage == PRETRAINING
        groups = []
        for student, rate in zip(self.students, self.learning_rates, strict=True):
            params = student.pretrained_parameters() if pretraining else student.trained_parameters()
            if params:
                rate = student.distiller.pretraining_rate(rate) if pretraining else rate
                groups.append({"params": params, "lr": rate, "name": student.name, "decays": not pretraining})
        learned = [p for p in self.online.parameters() if p.requires_grad]
        if learned and not pretraining:
            rate = self.online.learning_rate
            groups.append({"params": learned, "lr": rate, "name": "ensemble", "decays": False})
        return groups

    def begin_epoch(self, epoch: int, epochs: int) -> float | None:
        """Seed what the methods draw and set the schedules; returns the online weight of the epoch."""
        for student in self.students:
            student.begin_epoch(epoch, epochs, derive_seed(self.seed, "method", student.name, epoch))
        return None if epoch < 0 else self.online.begin_epoch(epoch, epochs)

    def schedule(self, epoch: int, epochs: int) -> list[float]:
        self.begin_epoch(epoch, epochs)
        modules = [self.online, *self.distillers, *self.students]
        own = [b for module in modules for b in module.buffers(recurse=False) if b.dim() == 0]
        return [float(b) for b in own]

    def train(self, mode: bool = True) -> "Group":
        super().train(mode)
        if mode and self.stage == PRETRAINING:
            for student in self.students:
                student.train_first_stage()
        return self

    def forward(self, batch: Batch) -> tuple[Tensor, Logged]:
        """Total loss of the step, and what is logged of it."""
        if self.stage == PRETRAINING:
            return self._pretrain(batch)
        with autocast(self.device, self.precision):
            teacher = None if self.teacher is None else self.teacher(batch)
            outputs, terms = [], []
            for student, stream in self._in_parallel():
                with stream:
                    output, own = student(batch, teacher)
                if self.apart is not None:
                    stand_in = own["ce"].detach().requires_grad_()
                    self.apart.append((stand_in, own["ce"]))
                    own["ce"] = stand_in
                outputs.append(output)
                terms.append(own)
            self._join()
            self.online.observe(outputs)
            logits = [output.logits for output in outputs]
            targets = self.online.targets([z.detach() for z in logits], batch)
            losses = [
                self.online.total(student, z, own, target)
                for student, z, own, target in zip(self.students, logits, terms, targets, strict=True)
            ]
            own_loss = self.online.own_loss(batch)
        total = torch.stack(losses).sum()
        if own_loss is not None:
            total = total + own_loss
        return total, logged(losses, terms, logits, batch, self.unlabelled)

    def _pretrain(self, batch: Batch) -> tuple[Tensor, Logged]:
        """The first stage's loss: of the students whose method has one; the others wait."""
        losses, terms, outputs = [], [], []
        with autocast(self.device, self.precision):
            teacher = self.teacher(batch)
            zero = teacher.logits.new_zeros(())
            for student in self.students:
                output, own = student.pretrain(batch, teacher) if student.pretraining else (teacher, {})
                losses.append(method_sum(own) if own else zero)
                terms.append(own)
                outputs.append(output.logits)
        return torch.stack(losses).sum(), logged(losses, terms, outputs, batch, self.unlabelled)

    def after_step(self) -> None:
        for student in self.students:
            if student.distiller is not None:
                student.distiller.after_step(student.network)
        if self.stage == TRAINING:
            self.online.after_step(list(self.students))
            if self.averages is not None:
                self.averages.follow(self._own_networks())

    @torch.no_grad()
    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Logits (B, C) by name, 'ensemble' among them if there is one, and the ensemble's weights (N,)."""
        with autocast(self.device, self.eval_precision):
            return fused_logits(self.names, self._own_networks(), self.online, images)

    @property
    def averaged(self) -> dict[str, nn.Module]:
        return {} if self.averages is None else dict(zip(self.names, self.averages, strict=True))

    @torch.no_grad()
    def averaged_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None]:
        with autocast(self.device, self.eval_precision):
            return {name: network(images).float() for name, network in self.averaged.items()}, None

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None] | None:
        if self.teacher is None:
            return None
        with autocast(self.device, self.eval_precision):
            return {"teacher": self.teacher.logits(images)}, None

    def ensemble_state(self) -> dict:
        """What `evaluate.py --ensemble` needs: method, weights, and whom it fuses in which order."""
        if self.ensemble is None:
            return {}
        return {
            "online": self.online.name,
            "students": self.names,
            "models": [student.plan.arch for student in self.students],
            "free_scale": self.online.free_scale,
            "state": self.online.state_dict(),
        }

    def taps(self) -> dict[str, list[str]]:
        """The modules that give the maps of the networks of other code, by student, and of the teacher."""
        found = {name: tap_names(network) for name, network in self._networks().items()}
        return {name: list(taps) for name, taps in found.items() if taps is not None}

    def remarks(self) -> list[str]:
        """What to say of networks of other code, of first weights, and of methods larger than the teacher."""
        found = {name: said_of(network) for name, network in self._networks().items()}
        of_networks = [f"note: {name} is {said}" for name, said in found.items() if said]
        of_students = [f"note: {student.name} {said}" for student in self.students for said in student.said]
        return of_networks + of_students + self._larger_than_the_teacher() + self._large_tables()

    def _larger_than_the_teacher(self) -> list[str]:
        """A warning of each method that trains more weights of its own than the teacher has."""
        found = []
        for student in self.students:
            if student.distiller is None or self.teacher is None:
                continue
            added = sum(p.numel() for p in student.distiller.parameters() if p.requires_grad)
            has = sum(p.numel() for p in self.teacher.network.parameters())
            if added > has:
                flag = student.distiller.size_flag
                found.append(
                    f"warning: {student.plan.method} trains {added:,} parameters beside {student.name}, more "
                    f"than the {has:,} of the teacher" + (f" ({flag} makes them fewer)" if flag else "")
                )
        return found

    def _large_tables(self) -> list[str]:
        """A warning of each method that keeps much beside its weights, such as a value for all pairs of
        classes.
        """
        found = []
        for student in self.students:
            kept = sum(b.nbytes for b in student.distiller.buffers()) if student.distiller is not None else 0
            if kept > LARGEST_TABLES:
                found.append(
                    f"warning: {student.plan.method} keeps {kept / 2**20:,.0f} MB of tables beside "
                    f"{student.name}"
                )
        return found

    def _own_networks(self) -> list[nn.Module]:
        """The networks of the students."""
        return [student.network for student in self.students]

    def _networks(self) -> dict[str, nn.Module]:
        """The networks of the students by name, and the teacher's."""
        own = {student.name: student.network for student in self.students}
        return own if self.teacher is None else own | {"the teacher": self.teacher.network}

    def generators(self) -> list[torch.Generator]:
        """The random streams that the methods draw from."""
        return [distiller.random for distiller in self.distillers]

    def compile(self, **options: Any) -> None:
        """Compile the networks and what the methods compute, in place: the names of their weights stay."""
        for network in [*self._own_networks(), *([self.teacher.network] if self.teacher else [])]:
            network.outputs = torch.compile(network.outputs, **options)
            network.compile(**options)
        for distiller in self.distillers:
            distiller.compile(**options)

    def _in_parallel(self) -> Iterator[tuple[Student, contextlib.AbstractContextManager]]:
        """Each student with the CUDA stream that it runs on; without streams one runs after the other."""
        if self._streams is None:
            for student in self.students:
                yield student, contextlib.nullcontext()
            return
        main = torch.cuda.current_stream(self.device)
        for student, stream in zip(self.students, self._streams, strict=True):
            stream.wait_stream(main)
            yield student, torch.cuda.stream(stream)

    def _join(self) -> None:
        for stream in self._streams or []:
            torch.cuda.current_stream(self.device).wait_stream(stream)


def fused_logits(
    names: Sequence[str], networks: Sequence[nn.Module], online: OnlineMethod, images: Tensor
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Logits (B, C) of each network by name, of what fuses them under 'ensemble', and its weights (N,)."""
    logits = [network(images).float() for network in networks]
    fused = online.fuse(logits, images)
    named = dict(zip(names, logits, strict=True))
    return (named, None) if fused is None else (named | {"ensemble": fused[0]}, fused[1])
