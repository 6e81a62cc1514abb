"""The literal forms of the modern response methods against the losses that they stand beside."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.literal_logits import LITERAL
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, Example
from helper.arguments import options_of
from helper.batch import Batch, Output
from tests.distiller_zoo.materials import CLASSES, LABELS, STUDENT, TEACHER, SmallNetwork, a_batch
from tests.golden.formula import fill, tensor

METHODS = (
    "dkd",
    "mlkd",
    "catkd",
    "crld",
    "dist",
    "itrd",
    "luminet",
    "nkd",
    "rld",
    "skd",
    "ttm",
    "wttm",
    "ctkd",
    "ctkd_dkd",
    "sdd",
    "sdd_dkd",
    "wkd",
    "mrd",
)
OTHER_FLAGS = (
    ("dkd", {"logit_stand": True}),
    ("mlkd", {"logit_stand": True}),
    ("mlkd", {"kd_T": 2.0}),
    ("crld", {"crld_weak": 0.3, "crld_strong": 0.3}),
    ("nkd", {"nkd_classes": "others", "nkd_T": 2.0}),
    ("rld", {"rld_alpha_T": 2.0}),
    ("skd", {"skd_tikhonov": 1e-3}),
    ("catkd", {"catkd_normalize": "no"}),
    ("sdd", {"sdd_scales": "1,2"}),
    ("wkd", {"wkd_part": "logits", "wkd_sharpen": 0.0, "wkd_iterations": 3}),
    ("wkd", {"wkd_part": "features", "wkd_grid": 2}),
)
AS_WIDE = (*TEACHER[:-1], STUDENT[-1])  # a teacher whose embedding has the size of the student's
RELATIVE = 1e-4
# of CTKD's temperature, whose gradient is the small difference of two sums: T^2 grows as the divergence falls
RELATIVE_OF_TEMPERATURE = 1e-3
# of the largest gradient: those of biases in front of WKD's batch norm and ITRD's standardisation are 0 but
# for rounding, which a dimension of small deviation enlarges
FLOOR = 1e-5
SPREAD = 2.0  # of the logits, their standard deviation


def leaves(output: Output) -> tuple[Output, list[Tensor]]:
    """The same values as leaves that ask for gradients, in an Output and in a list, its views' too."""
    own = output.detach()
    views = {name: leaves(view) for name, view in own.views.items()}
    tensors = [own.stem, *own.maps, *own.preact, own.embedding, own.logits]
    for value in tensors:
        value.requires_grad_()
    of_views = [value for _, found in views.values() for value in found]
    return own._replace(views={name: view for name, (view, _) in views.items()}), tensors + of_views


def seen(network: SmallNetwork, batch: Batch) -> Output:
    """The network's Output for a batch and for its views."""
    with torch.no_grad():
        own, *views = (network.outputs(images) for images in (batch.images, *batch.views.values()))
    return own._replace(views=dict(zip(batch.views, views, strict=True)))


@torch.no_grad()
def lively(shapes: tuple[tuple[int, int], ...], images: Tensor) -> SmallNetwork:
    """A network in evaluation mode whose channels are alive (with a constant one ITRD's formula is NaN) and
    whose classes differ from image to image, so that some images are sure and some are not.
    """
    network = fill(SmallNetwork(shapes)).eval()
    network.head = nn.Identity()  # some methods want the map that the classifier averages
    network.stages[-1][1].bias += 2
    layer, mean = network.classifier, network.outputs(images).embedding.mean(dim=0)
    layer.bias -= layer.weight @ mean + layer.bias
    factor = SPREAD / layer(network.outputs(images).embedding).std()
    layer.weight *= factor
    layer.bias *= factor
    return network


def build(
    name: str, flags: dict, shapes: tuple[tuple[int, int], ...] = TEACHER, size: int = 8
) -> tuple[Distiller, list[Tensor], tuple[Output, Output, Batch]]:
    """A method in an epoch in which all its terms count, what gradients reach, and what it is called on."""
    kind = distiller_dict[name]
    torch.manual_seed(1)
    plain = a_batch(size)
    images = {view: tensor(view, plain.images.shape) for view in ("images", *kind.views)}
    batch = Batch(images.pop("images"), plain.labels, plain.indices, images)
    student, teacher = lively(STUDENT, batch.images), lively(shapes, batch.images)
    output_t = seen(teacher.requires_grad_(False), batch)
    output_s, inputs = leaves(seen(student, batch))
    whole = Example(
        output_s.detach(), output_t, LABELS, size, CLASSES, 3, student, teacher, "small", "larger"
    )
    method = kind(whole, **options_of(kind, flags)).train()
    method.begin_epoch(7, 10)
    inputs += [*method.parameters(), *student.classifier.parameters()]
    return method, inputs, (output_s, output_t, batch)


def test_every_method_has_its_form():
    assert sorted(LITERAL) == sorted(METHODS)


def assert_same(name: str, *built: object) -> None:
    """The literal form gives a method's loss and gradients; built: what `build` returned."""
    method, inputs, batch = built
    own, literal = method(*batch), LITERAL[name](method, *batch)
    own = own if isinstance(own, Tensor) else sum(own.values())
    assert literal.dtype == torch.float32 and literal.shape == ()
    torch.testing.assert_close(literal, own, rtol=RELATIVE, atol=0.0)
    expected = torch.autograd.grad(own, inputs, allow_unused=True)
    found = torch.autograd.grad(literal, inputs, allow_unused=True)
    assert [g is None for g in found] == [g is None for g in expected]
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if other is not None]
    largest = max(other.norm() for _, other in pairs)
    assert largest > 1e-3
    for one, other in pairs:
        relative = RELATIVE_OF_TEMPERATURE if other.numel() == 1 else RELATIVE
        assert (one - other).norm() <= relative * other.norm() + FLOOR * largest


@pytest.mark.parametrize(("name", "flags"), [*((name, {}) for name in METHODS), *OTHER_FLAGS])
def test_loss_and_gradients_are_those_of_the_method(name, flags):
    assert_same(name, *build(name, flags))


@pytest.mark.parametrize("name", ["mlkd", "skd"])
def test_an_odd_batch_has_more_than_half_of_its_images_up_to_the_median(name):
    assert_same(name, *build(name, {}, size=7))


def test_itrd_compares_embeddings_of_one_width_as_they_are():
    assert_same("itrd", *build("itrd", {"itrd_mutual": 10.0}, shapes=AS_WIDE))
