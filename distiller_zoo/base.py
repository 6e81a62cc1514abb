"""What a method is to the rest of the project."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from helper.batch import Batch, Output

Terms = Tensor | Mapping[str, Tensor]


class LossWeights(NamedTuple):
    gamma: float = 1.0
    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True)
class Example:
    student: Output
    teacher: Output
    labels: Tensor
    batch_size: int
    num_classes: int
    seed: int
    student_network: nn.Module
    teacher_network: nn.Module
    student_model: str
    teacher_model: str


class Distiller(nn.Module):
    label: ClassVar[str]
    weights: ClassVar[LossWeights]
    multiplier: ClassVar[float] = 1.0
    warm_up: ClassVar[int] = 0
    pretraining: ClassVar[int] = 0
    views: ClassVar[tuple[str, ...]] = ()
    fixed_batch: ClassVar[bool] = False
    free_scale: ClassVar[bool] = False

    def __init__(self, example: Example):
        super().__init__()
        self.random = torch.Generator(example.labels.device).manual_seed(example.seed)

    @classmethod
    def weights_for(cls, student: str, teacher: str) -> LossWeights:
        return cls.weights

    @staticmethod
    def network(student: nn.Module, teacher: nn.Module, num_classes: int) -> nn.Module:
        return student

    def begin_epoch(self, epoch: int, epochs: int) -> None: ...

    def pretrained_parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        raise NotImplementedError

    def pretrain(self, student: Output, teacher: Output, batch: Batch) -> Terms:
        raise NotImplementedError

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Terms:
        raise NotImplementedError

    def after_step(self, network: nn.Module) -> None: ...
