"""The students of one teacher, as one thing to train."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from engine.task import TERMS, Entry, Task
from helper.batch import Batch, Output
from helper.device import autocast
from helper.randomness import derive_seed
from modreduce.online import OnlineMethod
from modreduce.student import Student
from modreduce.teacher import Teacher


class Group(Task):
    """N students, their teacher if there is one, and the way in which they learn online.

    `train_teacher.py` trains a group of one without teacher, `train_student.py` one with a teacher, and
    `train_modreduce.py` N students with an ensemble: the step is the same.

    learning_rates: one per student; ensemble_learning_rate: of what the online method learns, never decayed.
    """

    def __init__(
        self,
        students: list[Student],
        teacher: Teacher | None,
        online: OnlineMethod,
        *,
        device: torch.device,
        precision: str,
        seed: int,
        learning_rates: list[float],
        ensemble_learning_rate: float = 0.1,
        side_streams: bool = False,
    ):
        super().__init__()
        self.students = nn.ModuleList(students)
        self.online = online
        self.teacher = teacher
        self.device, self.precision, self.seed = device, precision, seed
        self.learning_rates = learning_rates
        self.ensemble_learning_rate = ensemble_learning_rate
        self.entries = [Entry(s.name, s.model_name, s.method, s.network) for s in students]
        self.ensemble = online.name if online.has_ensemble else None
        self.fixed_batch = any(s.distiller is not None and s.distiller.fixed_batch for s in students)
        self._streams = [torch.cuda.Stream(device) for _ in students] if side_streams else None

    def parameter_groups(self) -> list[dict]:
        """One group of parameters per student, with its learning rate, and one of the online method if it
        learns.
        """
        groups = [
            {"params": list(student.parameters()), "lr": rate, "name": student.name, "decays": True}
            for student, rate in zip(self.students, self.learning_rates, strict=True)
        ]
        learned = [p for p in self.online.parameters() if p.requires_grad]
        if learned:
            rate = self.ensemble_learning_rate
            groups.append({"params": learned, "lr": rate, "name": "ensemble", "decays": False})
        return groups

    def begin_epoch(self, epoch: int, epochs: int) -> float | None:
        """Seed what the methods draw and set the online schedule; returns the online weight of the epoch."""
        for student in self.students:
            if student.distiller is not None:
                student.distiller.begin_epoch(derive_seed(self.seed, "method", student.name, epoch))
        return self.online.begin_epoch(epoch, epochs)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Total loss of the step, and what is logged: the terms of engine.task.TERMS, (N, len(TERMS)),
        detached.
        """
        with autocast(self.device, self.precision):
            teacher = self._teacher_output(batch.images)
            outputs, terms = [], []
            for student, stream in self._in_parallel():
                with stream:
                    output, own = student(batch, teacher)
                outputs.append(output.logits)
                terms.append(own)
            self._join()
            losses, own_loss = self.online.losses(list(self.students), outputs, terms, batch)
        total = torch.stack(losses).sum()
        if own_loss is not None:
            total = total + own_loss
        return total, self._logged(losses, terms, outputs, batch)

    def after_step(self) -> None:
        self.online.after_step(list(self.students))

    @torch.no_grad()
    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Logits (B, C) by name, 'ensemble' among them if there is one, and the ensemble's weights (N,)."""
        with autocast(self.device, self.precision):
            logits = [student.network(images).float() for student in self.students]
            fused = self.online.fuse(list(self.students), logits, images)
        named = dict(zip(self.names, logits, strict=True))
        if fused is None:
            return named, None
        return named | {"ensemble": fused[0]}, fused[1]

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> tuple[dict[str, Tensor], None] | None:
        """The teacher's logits (B, C), as `predict` gives the students'."""
        if self.teacher is None:
            return None
        with autocast(self.device, self.precision):
            return {"teacher": self.teacher(images).logits.float()}, None

    def ensemble_state(self) -> dict:
        """What `evaluate.py --ensemble` needs: the method's name and weights, and whom it fuses in which
        order.
        """
        if self.ensemble is None:
            return {}
        return {
            "online": self.online.name,
            "students": self.names,
            "models": [student.model_name for student in self.students],
            "state": self.online.state_dict(),
        }

    def generators(self) -> list[torch.Generator]:
        """The random streams that the methods draw from."""
        return [
            stream for s in self.students if s.distiller is not None for stream in s.distiller.generators()
        ]

    def random_states(self) -> list[Tensor | None]:
        """Where each method's own random stream stands."""
        return [s.distiller.random_state() if s.distiller is not None else None for s in self.students]

    def set_random_states(self, states: list[Tensor | None]) -> None:
        """Put the methods' random streams back to where they stood."""
        for student, state in zip(self.students, states, strict=True):
            if state is not None:
                student.distiller.set_random_state(state)

    def compile(self, **options: Any) -> None:
        """Compile the networks and what the methods compute, in place: the names of their weights stay."""
        networks = [self.teacher.network] if self.teacher else []
        for student in self.students:
            networks += [student.network] + ([student.distiller] if student.distiller is not None else [])
        for network in networks:
            network.compile(**options)

    def _teacher_output(self, images: Tensor) -> Output | None:
        if self.teacher is None:
            return None
        features, logits = self.teacher(images)
        return Output(features, logits.float())

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

    @staticmethod
    @torch.no_grad()
    def _logged(
        losses: list[Tensor], terms: list[dict[str, Tensor]], logits: list[Tensor], batch: Batch
    ) -> Tensor:
        zero = losses[0].new_zeros(())
        rows = []
        for loss, own, z in zip(losses, terms, logits, strict=True):
            correct = (z.argmax(dim=1) == batch.labels).float().mean()
            values = {"loss": loss.detach(), "correct": correct} | {k: v.detach() for k, v in own.items()}
            rows.append(torch.stack([values.get(term, zero) for term in TERMS]))
        return torch.stack(rows)
