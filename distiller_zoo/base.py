"""What a method is to the rest of the project."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from helper.batch import Batch, Output
from helper.randomness import generator

Terms = Tensor | Mapping[str, Tensor]


class LossWeights(NamedTuple):
    """What each part of the offline loss counts: gamma * CE + alpha * KD + beta * method (RepDistiller's
    letters).
    """

    gamma: float = 1.0
    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True)
class Example:
    """What a method sees once before training, to size its layers.

    student, teacher: Outputs of a few images; labels: (n_data,) int64, those of the training set; batch_size:
    of every step to come; seed: for what the method initialises and draws; student_network, teacher_network:
    the networks that gave the Outputs, on their device; student_model, teacher_model: their names.
    """

    student: Output
    teacher: Output
    labels: Tensor
    batch_size: int
    num_classes: int
    seed: int
    student_network: nn.Module
    teacher_network: nn.Module
    student_model: str = ""
    teacher_model: str = ""


class Distiller(nn.Module):
    """One kind of knowledge: a loss between a student's and a teacher's Output, with the layers
    that it trains.

    A method is one subclass in one file and one line in `distiller_dict`. The keyword-only parameters of its
    constructor, `Annotated[type, check, "help"]` with a default, are its flags. The constructor raises
    UserError if the networks or the flags do not fit. Parameters are trained with the student, buffers are
    saved with it, and `random`, seeded anew in each epoch and saved too, is there to draw from.

    label: its name in tables and legends; formula: its loss in a line, in the notation of docs/methods.md;
    weights: published defaults of -r, -a and -b; multiplier:
    ModReduce's factor of the whole offline loss over the sum of its weights, None for that sum, so that the
    loss is the published one; warm_up: epochs over which beta grows linearly; pretraining: epochs of
    `pretrain` before the run; views: further views of each batch that it reads; fixed_batch: whether every
    batch must have the size of the first; free_scale: whether nothing holds the scale of the student's
    logits, so that an ensemble has to standardise them first; reads_labels: whether the loss or the
    constructor looks at labels, so that no image may be without one; size_flag: the flag that makes its
    layers smaller, if there is one.
    """

    label: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    weights: ClassVar[LossWeights] = LossWeights(1.0, 1.0, 1.0)
    multiplier: ClassVar[float | None] = None
    warm_up: ClassVar[int] = 0
    pretraining: ClassVar[int] = 0
    views: ClassVar[tuple[str, ...]] = ()
    fixed_batch: ClassVar[bool] = False
    free_scale: ClassVar[bool] = False
    reads_labels: ClassVar[bool] = False
    size_flag: ClassVar[str] = ""

    def __init__(self, example: Example):
        super().__init__()
        self.random = generator(example.labels.device, example.seed)

    @classmethod
    def weights_for(cls, student: str, teacher: str, **flags: Any) -> LossWeights:
        """The published weights for a pair of networks, by their names, and these flags; `weights` where none
        are known.
        """
        return cls.weights

    @classmethod
    def kd_loss(cls, student: str, teacher: str, *, kd_T: float | None = None, **flags: Any) -> nn.Module:
        """The loss of the logits (z_s, z_t) that --alpha weighs beside the method."""
        from distiller_zoo.kd import TEMPERATURE, DistillKL

        return DistillKL(kd_T or TEMPERATURE)

    @classmethod
    def has_free_scale(cls, **flags: Any) -> bool:
        """Whether, with these flags, nothing holds the scale of the student's logits."""
        return cls.free_scale

    @staticmethod
    def network(student: nn.Module, teacher: nn.Module, num_classes: int) -> nn.Module:
        """What is trained, evaluated, saved and deployed: by default the student's own network."""
        return student

    @staticmethod
    def network_name(student: str, teacher: str) -> str:
        """The name by which `models.build_network` makes what `network` returns."""
        return student

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Prepare epoch `epoch` (from 0; negative before the run) of `epochs`.

        Numbers that change are buffers, filled in place.
        """

    def trained_parameters(self) -> Iterable[nn.Parameter]:
        """The method's own parameters that are trained in the run beside the student's: by default all."""
        return self.parameters()

    def pretrained_parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """What `pretrain` trains: parameters of the student's network, of the method, or of both."""
        return []

    def pretraining_rate(self, usual: float) -> float:
        """The constant learning rate of that stage; by default the student's usual one."""
        return usual

    def pretrain(self, student: Output, teacher: Output, batch: Batch) -> Terms:
        """The loss of the first `pretraining` epochs, which stands alone and unweighted."""
        raise NotImplementedError

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Terms:
        """The unweighted loss, a scalar in float32, or a dict of such that are added; each is logged by name.

        Autocast is off in here: maps may come in bfloat16, what is computed from them is in float32.
        """
        raise NotImplementedError

    def after_step(self, network: nn.Module) -> None:
        """Called after each step of the optimizer."""
