"""Our losses are those of the formulas as they are written, which benchmarks time beside them."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from benchmarks.literal_classic import LITERAL, PRETRAINED
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, Example
from helper.arguments import options_of
from helper.batch import Batch, Output
from tests.distiller_zoo.materials import CLASSES, LABELS, STUDENT, TEACHER, SmallNetwork, a_batch
from tests.golden.formula import tensor

SAME_WIDTHS = ("fsp", "kdsvd")  # methods that want both networks equally wide
# The student's maps are larger at first, of one size then, and smaller at last.
OTHER_SIZES = ((8, 16), (8, 16), (16, 8), (32, 4)), ((8, 8), (16, 8), (32, 8), (64, 8))
# Ours compares channels in the first two of these stages and places in the last.
MANY_CHANNELS = ((8, 32), (16, 32), (64, 16), (128, 8)), ((8, 32), (24, 32), (160, 16), (192, 8))
# The last two maps of either network have one shape, so that IRG compares their values too.
EQUAL_STAGES = ((8, 16), (8, 16), (16, 8), (16, 8)), ((8, 16), (16, 16), (32, 8), (32, 8))
CASES = [
    *((name, {}, None) for name in LITERAL),
    ("kd", {"logit_stand": True}, None),
    ("irg", {"irg_transform": True}, None),
    ("irg", {"irg_transform": True}, EQUAL_STAGES),
    ("srd", {"srd_form": "correlation"}, None),
    ("kdsvd", {"kdsvd_k": 2}, None),
    ("kdsvd", {"kdsvd_over": "width"}, None),
    *((name, {}, OTHER_SIZES) for name in ("at", "vid", "nst", "ft", "ab", "fitnet", "reviewkd", "simkd")),
    ("nst", {}, MANY_CHANNELS),
]

RELATIVE, FLOOR = 1e-4, 1e-10
# Where rounding in float32 is no small part of the formula as written, both are computed in float64:
# PKT is 1e-6 here, a mean of logarithms of ratios near 1 whose signs cancel (2e-4 apart in float32); HKD's
# distance of an image to itself is rounding instead of 1e-3 (a hundredth of the loss here, a quarter on an
# untrained resnet32x4).
IN_DOUBLE = ("pkt", "hkd")
RELATIVE_IN_DOUBLE = 1e-7
# Their gradient is rounding: the BN behind them takes them away.
BEFORE_NORM = {
    "fitnet": ("conv.bias",),
    "ab": ("conv.bias",),
    "ft": ("encoder.0.bias", "encoder.3.bias", "encoder.6.bias"),
    "srd": ("embed.bias",),
}


class Seen(NamedTuple):
    """What a method is called with."""

    student: Output
    teacher: Output
    batch: Batch


def build(name: str, options: dict, shapes: tuple | None) -> tuple[Distiller, Seen]:
    """A method for two small networks, and what it sees of them; each value of the student is a leaf."""
    kind = distiller_dict[name]
    torch.manual_seed(1)
    shape_s, shape_t = shapes or (STUDENT, STUDENT if name in SAME_WIDTHS else TEACHER)
    student, teacher = SmallNetwork(shape_s), SmallNetwork(shape_t)
    student.head = teacher.head = torch.nn.Identity()  # some methods want the map that is averaged
    network = kind.network(student, teacher.eval(), CLASSES).eval()
    batch = a_batch()._replace(images=tensor("images", (8, 3, 32, 32), std=4))
    own, theirs = (one.outputs(batch.images).detach() for one in (network, teacher))
    example = Example(own, theirs, LABELS, 8, CLASSES, 3, network, teacher, "small", "larger")
    method = kind(example, **options_of(kind, options)).train()
    method.begin_epoch(5, 10)
    if name in IN_DOUBLE:
        method, own, theirs = method.double(), in_double(own), in_double(theirs)
    for value in values_of(own):
        value.requires_grad_()
    return method, Seen(own, theirs, batch)


def in_double(output: Output) -> Output:
    maps, preact = ([m.double() for m in found] for found in (output.maps, output.preact))
    stem, embedding, logits = (x.double() for x in (output.stem, output.embedding, output.logits))
    return Output(stem, maps, preact, embedding, logits)


def values_of(output: Output) -> list[Tensor]:
    found = [output.stem, *output.maps, *output.preact, output.embedding, output.logits]
    return found if output.averaged is None else [*found, output.averaged]


def trained(method: Distiller, name: str) -> list[Tensor]:
    """The method's parameters that the loss trains, but for those whose gradient is rounding."""
    chosen = method.parameters() if name in PRETRAINED else method.trained_parameters()
    chosen, left_out = {id(p) for p in chosen}, BEFORE_NORM.get(name, ())
    return [p for key, p in method.named_parameters() if id(p) in chosen and not key.endswith(left_out)]


def loss_and_gradients(loss: Tensor, wrt: list[Tensor]) -> list[Tensor | None]:
    assert loss.shape == () and torch.isfinite(loss)
    return [loss.detach(), *torch.autograd.grad(loss, wrt, allow_unused=True)]


def assert_near(ours: Tensor, literal: Tensor, relative: float) -> None:
    """The norm of the difference is a small part of that of the literal form's."""
    assert float((ours - literal).norm()) <= relative * float(literal.norm()) + FLOOR


@pytest.mark.parametrize(("name", "options", "shapes"), CASES)
def test_a_loss_and_its_gradients_are_those_of_the_literal_form(name, options, shapes):
    method, seen = build(name, options, shapes)
    parameters = trained(method, name)
    wrt = [*values_of(seen.student), *parameters]
    terms = method.pretrain(*seen) if name in PRETRAINED else method(*seen)
    ours = loss_and_gradients(terms if isinstance(terms, Tensor) else sum(terms.values()), wrt)
    literal = loss_and_gradients(LITERAL[name](method, *seen), wrt)
    assert [own is None for own in ours] == [own is None for own in literal]
    compared = [pair for pair in zip(ours, literal, strict=True) if pair[0] is not None]
    assert all(float(found.norm()) > 100 * FLOOR for _, found in compared)
    assert len(compared) > 1 and all(g is not None for g in ours[len(wrt) - len(parameters) + 1 :])
    for own, expected in compared:
        assert_near(own, expected, RELATIVE_IN_DOUBLE if name in IN_DOUBLE else RELATIVE)
