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
from helper.checkpoint import copied
from helper.device import autocast
from helper.distributed import Ranks
from helper.randomness import derive_seed
from models.tapped import said_of, tap_names
from modreduce.fused import fused_logits
from modreduce.online import OnlineMethod
from modreduce.remarks import warnings_of_size
from modreduce.student import Student
from modreduce.teacher import Teacher
from modreduce.terms import logged, method_sum


class Group(Task):
    """N students, their teacher if there is one, and the way in which they learn online.

    `train_teacher.py` trains a group of one without teacher, `train_student.py` one with a teacher, and
    `train_modreduce.py` N students with an ensemble: the step is the same.

    learning_rates: one per student; precision, eval_precision: of the networks in training and in `predict`;
    ema: decay of the moving averages of the students' networks, 0 for none; unlabelled: whether images may be
    without a label; ranks: the processes over which the students are spread. Each of them has all students,
    trains its own, and sees of the others the logits.
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
        ranks: Ranks | None = None,
    ):
        super().__init__()
        self.students = nn.ModuleList(students)
        self.ranks = ranks or Ranks()
        self.here = self.ranks.mine(range(len(students)))
        self.online = online
        online.ranks = self.ranks
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
        self._streams = [torch.cuda.Stream(device) for _ in self.here] if side_streams else None

    @property
    def distillers(self) -> list[Distiller]:
        """The methods of the students that have one."""
        return [student.distiller for student in self.students if student.distiller is not None]

    @property
    def form(self) -> Hashable:
        return self.stage, self.online.form

    @property
    def own_students(self) -> list[Student]:
        """Those that this rank trains."""
        return self.ranks.mine(list(self.students))

    def pretraining_epochs(self, asked: int | None) -> int:
        own = max((student.pretraining for student in self.students), default=0)
        return own if asked is None or not own else asked

    def begin_stage(self, name: str) -> None:
        self.stage = name
        if self.averages is not None and name == TRAINING:  # what a first stage made is where they begin
            self.averages.restart(self._networks_here())

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
        for student in self.own_students:
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
            self.online.observe(self._spread(outputs))
            logits = [output.logits for output in outputs]
            of_all = self.ranks.gather([z.detach() for z in logits], len(self.students))
            targets = self.ranks.mine(self.online.targets(of_all, batch))
            losses = [
                self.online.total(student, z, own, target)
                for student, z, own, target in zip(self.own_students, logits, terms, targets, strict=True)
            ]
            own_loss = self.online.own_loss(batch)
        total = torch.stack(losses).sum()
        if own_loss is not None:
            total = total + own_loss
        return total, logged(losses, terms, logits, batch, self.unlabelled, self.here)

    def _pretrain(self, batch: Batch) -> tuple[Tensor, Logged]:
        """The first stage's loss: of the students whose method has one; the others wait."""
        losses, terms, outputs = [], [], []
        with autocast(self.device, self.precision):
            teacher = self.teacher(batch)
            zero = teacher.logits.new_zeros(())
            for student in self.own_students:
                output, own = student.pretrain(batch, teacher) if student.pretraining else (teacher, {})
                losses.append(method_sum(own) if own else zero)
                terms.append(own)
                outputs.append(output.logits)
        return torch.stack(losses).sum(), logged(losses, terms, outputs, batch, self.unlabelled, self.here)

    def after_step(self) -> None:
        for student in self.own_students:
            if student.distiller is not None:
                student.distiller.after_step(student.network)
        if self.stage == TRAINING:
            self.online.after_step(self._spread(self.own_students))
            if self.averages is not None:
                self.averages.follow(self._networks_here())

    def collect(self) -> None:
        if self.ranks.world == 1:
            return
        own = [] if self.ranks.first else self.here
        for found in self.ranks.on_first({k: copied(self._kept(k)) for k in own}):
            for k, (states, random) in found.items():
                for part, state in zip(self._parts(k), states, strict=True):
                    part.load_state_dict(state)
                if random is not None:
                    self.students[k].distiller.random.set_state(random)

    def _parts(self, place: int) -> list[nn.Module]:
        """The modules that the rank keeps up to date that trains the student of that place."""
        averages = [] if self.averages is None else [self.averages[place]]
        return [self.students[place], *averages, *self.online.parts(place)]

    def _kept(self, place: int) -> tuple[list[dict[str, Any]], Tensor | None]:
        """What these hold, and where the method's random stream stands."""
        distiller = self.students[place].distiller
        random = None if distiller is None else distiller.random.get_state()
        return [part.state_dict() for part in self._parts(place)], random

    @torch.no_grad()
    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Logits (B, C) by name, 'ensemble' among them if there is one, and the ensemble's weights (N,)."""
        with autocast(self.device, self.eval_precision), self.ranks.same_batches():
            return fused_logits(self.names, self._own_networks(), self.online, images, self.ranks)

    @property
    def averaged(self) -> dict[str, nn.Module]:
        return {} if self.averages is None else dict(zip(self.names, self.averages, strict=True))

    @torch.no_grad()
    def averaged_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None]:
        with autocast(self.device, self.eval_precision), self.ranks.same_batches():
            own = [network(images).float() for network in self.ranks.mine(list(self.averaged.values()))]
            return dict(zip(self.names, self.ranks.gather(own, len(self.names)), strict=True)), None

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
        return of_networks + of_students + warnings_of_size(list(self.students), self.teacher)

    def _own_networks(self) -> list[nn.Module]:
        """The networks of the students."""
        return [student.network for student in self.students]

    def _networks(self) -> dict[str, nn.Module]:
        """The networks of the students by name, and the teacher's."""
        own = {student.name: student.network for student in self.students}
        return own if self.teacher is None else own | {"the teacher": self.teacher.network}

    def _networks_here(self) -> list[nn.Module | None]:
        """The same, None for those that another rank trains."""
        return self._spread([student.network for student in self.own_students])

    def _spread(self, own: Sequence[Any]) -> list[Any]:
        """What there is for each of this rank's students, at its place among all; None at the others'."""
        found: list[Any] = [None] * len(self.students)
        for k, one in zip(self.here, own, strict=True):
            found[k] = one
        return found

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
            for student in self.own_students:
                yield student, contextlib.nullcontext()
            return
        main = torch.cuda.current_stream(self.device)
        for student, stream in zip(self.own_students, self._streams, strict=True):
            stream.wait_stream(main)
            yield student, torch.cuda.stream(stream)

    def _join(self) -> None:
        for stream in self._streams or []:
            torch.cuda.current_stream(self.device).wait_stream(stream)
