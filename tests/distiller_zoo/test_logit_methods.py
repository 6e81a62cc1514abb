"""What holds for each of the logit methods: the contract, and steps that never wait for the device."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

import helper.arguments
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, LossWeights
from helper.signature import parameters_of
from tests.distiller_zoo import logit_losses as given

NAMES = (
    *("kd", "dkd", "simkd", "mlkd", "dist", "ttm", "wttm", "luminet", "itrd", "nkd", "rld", "crld", "skd"),
    *("ctkd", "ctkd_dkd", "sdd", "sdd_dkd", "catkd"),
)


def outputs(name: str):
    """A student's and a teacher's Output, both with a second view."""
    channels = {"student": 32 if name == "simkd" else 16, "teacher": 32}
    return tuple(
        given.output(channels=width, name=who)._replace(
            views={"strong": given.output(channels=width, name=f"{who} strong")}
        )
        for who, width in channels.items()
    )


def total(method: Distiller, student, teacher, batch) -> torch.Tensor:
    terms = method(student, teacher, batch)
    return sum(terms.values()) if isinstance(terms, dict) else terms


@pytest.mark.parametrize("name", NAMES)
def test_a_step_never_asks_for_a_value(name):
    """Tensors that have shapes but no values: whatever waits for a number from the device fails."""
    method = distiller_dict[name](given.example())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        student, teacher, batch = tree_map(
            lambda x: mode.from_tensor(x) if isinstance(x, torch.Tensor) else x,
            (*outputs(name), given.batch()),
        )
        assert total(method, student, teacher, batch).shape == ()


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_float32_scalars_and_the_teacher_is_constant(name):
    method = distiller_dict[name](given.example())
    student, teacher = outputs(name)
    terms = method(student, teacher, given.batch())
    values = terms.values() if isinstance(terms, dict) else [terms]
    assert all(value.shape == () and value.dtype == torch.float32 for value in values)
    sum(values).backward()
    leaves = [*teacher.preact, teacher.logits, teacher.views["strong"].logits]
    assert all(leaf.grad is None for leaf in leaves)
    assert any(leaf.grad is not None and leaf.grad.norm() > 0 for leaf in [*student.preact, student.logits])


@pytest.mark.parametrize("name", NAMES)
def test_flags_and_weights_of_any_pair(name):
    kind = distiller_dict[name]
    checks = vars(helper.arguments)
    assert parameters_of(f"{kind.__module__}:{kind.__name__}", checks) == parameters_of(kind, checks)
    for pair in (("resnet8x4", "resnet32x4"), ("resnet8", "vgg19")):
        weights = kind.weights_for(*pair)
        assert isinstance(weights, LossWeights)
        assert sum(weights) > 0
        assert kind(given.example(*pair)).label == kind.label


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_loaded(name):
    example = given.example()
    method, other = (distiller_dict[name](example) for _ in range(2))
    method.begin_epoch(7, 240)
    other.load_state_dict(method.state_dict(), strict=True)
    student, teacher = outputs(name)
    assert torch.equal(
        total(method, student, teacher, given.batch()), total(other, student, teacher, given.batch())
    )
