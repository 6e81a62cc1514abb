"""Small networks, Outputs and Examples to build the methods with."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from distiller_zoo.base import Example
from helper.batch import Batch, Output
from tests.golden.formula import tensor

CLASSES = 10
STUDENT = ((8, 16), (8, 16), (16, 8), (32, 4))  # (channels, size) of the stem's map and of the stages'
TEACHER = ((8, 16), (16, 16), (32, 8), (64, 4))
LABELS = torch.arange(60) % CLASSES


class SmallNetwork(nn.Module):
    """A network with the face of those in models/: stem, stages of one convolution and BN, a head of its own
    behind the last map, a classifier.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]] = STUDENT):
        super().__init__()
        (stem, size), *stages = shapes
        self.stem = nn.Conv2d(3, stem, 3, padding=1, stride=32 // size)
        self.stages = nn.ModuleList()
        for channels, smaller in stages:
            conv = nn.Conv2d(stem, channels, 3, padding=1, stride=size // smaller, bias=False)
            self.stages.append(nn.Sequential(conv, nn.BatchNorm2d(channels)))
            stem, size = channels, smaller
        self.head = nn.Conv2d(stem, stem, 1)
        self.classifier = nn.Linear(stem, CLASSES)

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        return [stage[1] for stage in self.stages]

    def outputs(self, images: Tensor) -> Output:
        stem = x = self.stem(images).relu()
        preact = []
        for stage in self.stages:
            preact.append(stage(x))
            x = preact[-1].relu()
        embedding = self.head(x).mean((2, 3))
        return Output(stem, [m.relu() for m in preact], preact, embedding, self.classifier(embedding))


def output(shapes: Sequence[tuple[int, int]], name: str, batch: int = 8) -> Output:
    """An Output of given maps, whose maps before the ReLU, embedding and logits ask for gradients."""
    stem, *preact = (
        tensor(f"{name}{i}", (batch, c, s, s)).requires_grad_() for i, (c, s) in enumerate(shapes)
    )
    embedding = tensor(f"{name} embedding", (batch, shapes[-1][0])).requires_grad_()
    logits = tensor(f"{name} logits", (batch, CLASSES), std=3).requires_grad_()
    return Output(stem.relu(), [m.relu() for m in preact], preact, embedding, logits)


def example(
    student: Sequence[tuple[int, int]] = STUDENT, teacher: Sequence[tuple[int, int]] = TEACHER, batch: int = 8
) -> Example:
    """What a method is built with, of two small networks."""
    networks = SmallNetwork(student), SmallNetwork(teacher)
    outputs = [network.eval().outputs(torch.zeros(2, 3, 32, 32)).detach() for network in networks]
    return Example(*outputs, LABELS, batch, CLASSES, 3, *networks, "small", "larger")


def a_batch(batch: int = 8) -> Batch:
    indices = torch.arange(batch) * 3
    return Batch(torch.zeros(batch, 3, 32, 32), LABELS[indices], indices)


def maps(shapes: Sequence[tuple[int, ...]], name: str, relu: bool = False) -> list[Tensor]:
    """Maps of these shapes that ask for gradients."""
    made = [tensor(f"{name}{i}", shape) for i, shape in enumerate(shapes)]
    return [(m.relu() if relu else m).requires_grad_() for m in made]


def gradients(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of a loss, which have to exist and to be finite; so does the loss."""
    assert torch.isfinite(loss).all()
    found = torch.autograd.grad(loss, inputs)
    assert all(torch.isfinite(gradient).all() for gradient in found)
    return list(found)


def channels_last(values: Sequence[Tensor]) -> list[Tensor]:
    """The same maps in the memory format of channels-last networks."""
    return [v.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for v in values]


def half(values: Sequence[Tensor]) -> list[Tensor]:
    """The same values in bfloat16."""
    return [v.detach().bfloat16().requires_grad_() for v in values]


def assert_indifferent_to_form(loss: nn.Module, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> None:
    """Channels-last maps give the loss and gradients of contiguous ones, bfloat16 ones nearly, in float32."""
    value = loss(f_s, f_t)
    grads = gradients(value, f_s)
    last = channels_last(f_s)
    again = loss(last, channels_last(f_t))
    torch.testing.assert_close(again, value, rtol=1e-4, atol=1e-9)
    for gradient, expected in zip(gradients(again, last), grads, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    low = half(f_s)
    near = loss(low, half(f_t))
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, value, rtol=0.05, atol=1e-9)
    gradients(near, low)


def assert_teacher_is_constant(loss: nn.Module, f_s: Sequence[Tensor], f_t: Sequence[Tensor]) -> None:
    """No gradient reaches the teacher's values, which may ask for one."""
    found = torch.autograd.grad(loss(f_s, f_t), [*f_s, *f_t], allow_unused=True)
    assert all(gradient is None for gradient in found[len(f_s) :])


def with_labels(*labels: int) -> Example:
    """The example for a training set with these labels."""
    return replace(example(), labels=torch.tensor(labels))
