"""Which methods look at labels, found out by watching them: what they say of themselves is right."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distiller_zoo import Example, distiller_dict
from helper.arguments import options_of
from helper.batch import Batch, Output
from tests.distiller_zoo.materials import CLASSES, LABELS, STUDENT, TEACHER, SmallNetwork, a_batch
from tests.golden.formula import tensor

MEASURED = Path(__file__).resolve().parents[2] / "results/benchmarks/methods.json"
METHODS = [name for name in distiller_dict if name not in distiller_dict.aliases()]
SAME_WIDTHS = ("fsp", "kdsvd")  # methods that want both networks equally wide
# what says nothing of the labels themselves
HARMLESS = {Tensor.device.__get__, Tensor.shape.__get__, Tensor.dtype.__get__, Tensor.__len__}


def watched(labels: Tensor) -> tuple[Tensor, list[Callable]]:
    """The labels, and a list that grows by every function that reads them."""
    seen: list[Callable] = []

    class Watched(Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function not in HARMLESS:
                seen.append(function)
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **(kwargs or {}))

    return labels.as_subclass(Watched), seen


def said(network: nn.Module, batch: Batch) -> Output:
    own, *views = (network.outputs(images) for images in (batch.images, *batch.views.values()))
    return own._replace(views=dict(zip(batch.views, views, strict=True)))


def terms_of(name: str, of_all: Tensor, of_batch: Tensor) -> list[Tensor]:
    """The terms of a method that sees these labels, in a first stage too if it has one."""
    kind = distiller_dict[name]
    torch.manual_seed(1)
    student, teacher = SmallNetwork(STUDENT), SmallNetwork(STUDENT if name in SAME_WIDTHS else TEACHER)
    student.head = teacher.head = nn.Identity()  # some want the map that the classifier averages
    teacher.eval().requires_grad_(False)
    network = kind.network(student, teacher, CLASSES).eval()
    plain = a_batch()
    images = {view: tensor(view, plain.images.shape) for view in ("images", *kind.views)}
    batch = Batch(images.pop("images"), plain.labels, plain.indices, images)
    outputs = [said(one, batch).detach() for one in (network, teacher)]
    whole = Example(*outputs, LABELS, 8, CLASSES, 3, network, teacher, "small", "larger")
    method = kind(replace(whole, labels=of_all), **options_of(kind, {"nce_k": 20})).train()
    seen = said(network, batch), said(teacher, batch), batch._replace(labels=of_batch)
    found = []
    if kind.pretraining:
        method.begin_epoch(-1, 10)
        found.append(method.pretrain(*seen))
    method.begin_epoch(5, 10)
    found.append(method(*seen))
    return [t for one in found for t in ([one] if isinstance(one, Tensor) else one.values())]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_reads_labels_if_and_only_if_it_says_so(name):
    (of_all, seen), (of_batch, seen_too) = watched(LABELS), watched(a_batch().labels)
    terms = terms_of(name, of_all, of_batch)
    assert bool(seen or seen_too) == distiller_dict[name].reads_labels
    if not distiller_dict[name].reads_labels:  # nor does it find them by another way
        without = terms_of(name, torch.full_like(LABELS, -1), torch.full_like(a_batch().labels, -1))
        assert all(map(torch.equal, terms, without))


def test_a_method_that_reads_them_loses_by_wrong_ones():
    """The watch sees what matters: of the eight images each gets the next one's label."""
    labels = a_batch().labels
    for name in ("dkd", "nkd", "crld", "sdd"):
        right, wrong = (terms_of(name, LABELS, each) for each in (labels, labels.roll(1)))
        assert any(not torch.equal(a, b) for a, b in zip(right, wrong, strict=True))


def test_the_page_of_methods_says_the_same():
    """What stands in docs/methods.md under 'reads' was measured on the networks of an experiment."""
    measured = json.loads(MEASURED.read_text())["methods"]
    for name in METHODS:
        assert ("labels" in measured[name]["reads"]) == distiller_dict[name].reads_labels, name
