"""What holds for every offline method: finite losses, states, settings that cannot be."""

import pytest
import torch

from distiller_zoo import Example, distiller_dict
from distiller_zoo.crd import CRD
from distiller_zoo.fitnet import FitNet
from distiller_zoo.semckd import SemCKD
from helper.arguments import options_of
from helper.batch import Batch, Output
from helper.device import autocast
from helper.errors import UserError
from tests.distiller_zoo.materials import (
    CLASSES,
    LABELS,
    STUDENT,
    TEACHER,
    SmallNetwork,
    a_batch,
    example,
    output,
    with_labels,
)
from tests.golden.formula import tensor

CPU = torch.device("cpu")
SAME_WIDTHS = ("fsp", "kdsvd")  # methods that want both networks equally wide


def outputs_of(network: torch.nn.Module, batch: Batch, precision: str) -> Output:
    """A network's Output for a batch and for its further views, as a run has it; logits in float32."""
    with autocast(CPU, precision):
        made = [network.outputs(images) for images in (batch.images, *batch.views.values())]
    own, *views = (one._replace(logits=one.logits.float()) for one in made)
    return own._replace(views=dict(zip(batch.views, views, strict=True)))


@pytest.mark.parametrize("name", distiller_dict)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_method_gives_a_finite_fp32_loss_with_gradients(name, precision):
    kind = distiller_dict[name]
    torch.manual_seed(1)
    student, teacher = SmallNetwork(STUDENT), SmallNetwork(STUDENT if name in SAME_WIDTHS else TEACHER)
    student.head = teacher.head = (
        torch.nn.Identity()
    )  # some methods want the map that the classifier averages
    teacher.eval().requires_grad_(False)
    network = kind.network(student, teacher, CLASSES)
    plain = a_batch()
    images = {view: tensor(view, plain.images.shape) for view in ("images", *kind.views)}
    batch = Batch(images.pop("images"), plain.labels, plain.indices, images)
    outputs = [outputs_of(one, batch, "fp32").detach() for one in (network.eval(), teacher)]
    whole = Example(*outputs, LABELS, 8, CLASSES, 3, network, teacher, "small", "larger")
    method = kind(whole, **options_of(kind, {"nce_k": 20})).train()
    network.train()
    seen = outputs_of(network, batch, precision), outputs_of(teacher, batch, precision), batch
    found = []
    if kind.pretraining:
        method.begin_epoch(-1, 10)
        found.append(method.pretrain(*seen))
    method.begin_epoch(5, 10)
    found.append(method(*seen))
    terms = [t for one in found for t in ([one] if isinstance(one, torch.Tensor) else one.values())]
    assert all(t.dtype == torch.float32 and t.shape == () and torch.isfinite(t) for t in terms)
    sum(terms).backward()
    reached = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in reached) and any(g.abs().sum() > 0 for g in reached)
    assert all(p.grad is not None for p in method.trained_parameters() if p.requires_grad)


@pytest.mark.parametrize("mode", ["exact", "relax"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_method_resumes_from_its_state_dict_and_random_state(mode, precision):
    first, second = (CRD(example(), nce_k=20, crd_mode=mode) for _ in range(2))
    student, teacher = output(STUDENT, "s"), output(TEACHER, "t").detach()
    if precision == "bf16":
        student, teacher = (o._replace(embedding=o.embedding.bfloat16()) for o in (student, teacher))
    first.random.manual_seed(5)
    for _ in range(3):
        first(student, teacher, a_batch())
    second(student, teacher, a_batch())
    second.load_state_dict(first.state_dict())
    second.random.set_state(first.random.get_state())
    for _ in range(3):
        assert torch.equal(first(student, teacher, a_batch()), second(student, teacher, a_batch()))
    assert torch.equal(first.loss.bank_s.vectors, second.loss.bank_s.vectors)


def test_impossible_settings_are_named():
    with pytest.raises(UserError, match="of one class"):
        CRD(with_labels(*[0] * 9))
    with pytest.raises(UserError, match=r"--hint_layer 3 .* 1 to 2"):
        FitNet(example(teacher=TEACHER[:3]), hint_layer=3)
    with pytest.raises(UserError, match=r"--hint_layer 4 .* 1 to 3"):
        FitNet(example(), hint_layer=4)
    with pytest.raises(UserError, match=r"--nce_k 55 .* allowed are 1 to 54"):
        CRD(example(), nce_k=55)
    with pytest.raises(UserError, match="--batch_size 3 is too small for semckd"):
        SemCKD(example(batch=3))
    with pytest.raises(UserError, match="--batch_size 1 is too small for rkd"):
        distiller_dict["rkd"](example(batch=1))
    method = SemCKD(example())
    with pytest.raises(UserError, match="built for batches of 8 and got 4"):
        method(output(STUDENT, "s", 4), output(TEACHER, "t", 4), a_batch(4))
