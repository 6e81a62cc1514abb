"""What the tests of the logit methods share: made-up networks' Outputs, and what every loss has to bear."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from distiller_zoo.base import Example
from helper.batch import Batch, Output
from tests.golden.formula import tensor

CLASSES = 10
LABELS = torch.arange(60) % CLASSES
IMAGES = 8
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

# Logits that break careless code: rows without any direction, and rows that underflow every softmax.
HARD_LOGITS = {
    "uniform student": (torch.zeros(4, CLASSES), tensor("hard teacher", (4, CLASSES), std=3)),
    "uniform teacher": (tensor("hard student", (4, CLASSES), std=3), torch.full((4, CLASSES), 2.5)),
    "both uniform": (torch.ones(4, CLASSES), torch.ones(4, CLASSES)),
    "equal": (tensor("same", (4, CLASSES), std=3), tensor("same", (4, CLASSES), std=3)),
    "large": (tensor("hard student", (4, CLASSES), std=1e4), tensor("hard teacher", (4, CLASSES), std=1e4)),
    "one row twice": (torch.ones(4, 1) * torch.arange(CLASSES), tensor("hard teacher", (4, CLASSES))),
}


def logits(batch: int = IMAGES, std: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    """A student's logits that ask for a gradient, a teacher's, and labels."""
    z_s = tensor("logits_student", (batch, CLASSES), std=std).requires_grad_()
    return z_s, tensor("logits_teacher", (batch, CLASSES), std=std), LABELS[:batch]


def finite_gradient(loss: Loss, z_s: Tensor, z_t: Tensor, labels: Tensor) -> bool:
    """Whether a loss and its gradient with respect to the student's logits are finite numbers."""
    z_s = z_s.clone().requires_grad_()
    value = loss(z_s, z_t, labels)
    value = sum(value.values()) if isinstance(value, dict) else value
    (gradient,) = torch.autograd.grad(value, z_s)
    return bool(value.isfinite() & gradient.isfinite().all())


def assert_bears_hard_logits(loss: Loss) -> None:
    """Finite value and gradient on every pair of HARD_LOGITS, and with one image per class."""
    for name, (z_s, z_t) in HARD_LOGITS.items():
        assert finite_gradient(loss, z_s, z_t, LABELS[: len(z_s)]), name
    z_s, z_t, labels = logits(CLASSES)
    assert finite_gradient(loss, z_s.detach(), z_t, labels)
    assert len(set(labels.tolist())) == CLASSES


def assert_float32_from_bf16(loss: Loss) -> None:
    """bfloat16 logits give what the same numbers give in float32."""
    z_s, z_t, labels = logits()
    half = z_s.detach().bfloat16(), z_t.bfloat16()
    value = loss(*half, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(half[0].float(), half[1].float(), labels))


def assert_teacher_is_constant(loss: Loss) -> None:
    """The teacher's logits get no gradient, the student's do."""
    z_s, z_t, labels = logits()
    z_t.requires_grad_()
    loss(z_s, z_t, labels).backward()
    assert z_t.grad is None
    assert z_s.grad.norm() > 0


def output(
    batch: int = IMAGES, channels: int = 16, size: int = 4, name: str = "student", grad: bool = True
) -> Output:
    """An Output with two stage maps, the last one pooled to the embedding."""
    maps = [
        tensor(f"{name} map{i}", (batch, c, s, s)).requires_grad_(grad)
        for i, (c, s) in enumerate(((channels // 2, 2 * size), (channels, size)))
    ]
    z = tensor(f"{name} logits", (batch, CLASSES), std=3).requires_grad_(grad)
    after = [m.relu() for m in maps]
    return Output(maps[0], after, maps, after[-1].mean(dim=(2, 3)), z)


class Network(nn.Module):
    """As much of a network as a method asks for."""

    def __init__(self, width: int):
        super().__init__()
        self.classifier = nn.Linear(width, CLASSES)


def example(
    student: str = "resnet8x4",
    teacher: str = "resnet32x4",
    batch_size: int = IMAGES,
    student_output: Output | None = None,
    teacher_output: Output | None = None,
) -> Example:
    """An Example of two networks of these names, of 16 and 32 channels unless Outputs are given."""
    student_output = student_output or output(2, 16)
    teacher_output = teacher_output or output(2, 32, name="teacher")
    return Example(
        student=student_output.detach(),
        teacher=teacher_output.detach(),
        labels=LABELS,
        batch_size=batch_size,
        num_classes=CLASSES,
        seed=3,
        student_network=Network(student_output.embedding.shape[1]),
        teacher_network=Network(teacher_output.embedding.shape[1]),
        student_model=student,
        teacher_model=teacher,
    )


def batch(images: int = IMAGES) -> Batch:
    """A batch with labels 0, 1, 2 and so on."""
    indices = torch.arange(images)
    return Batch(torch.zeros(images, 3, 8, 8), LABELS[indices], indices)
