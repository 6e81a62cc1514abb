"""Offline methods against the values of their published implementations, and their own properties."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distiller_zoo import CRDLoss, DistillKL, Example, HintLoss, RKDLoss, SemCKDLoss, distiller_dict
from distiller_zoo.crd import CRD
from distiller_zoo.fitnet import FitNet, Regressor
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
)
from tests.golden.formula import fill, tensor

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())
CPU = torch.device("cpu")
SAME_WIDTHS = ("fsp", "kdsvd")  # methods that want both networks equally wide


def agree(value, golden, relative=1e-4):
    assert float(torch.as_tensor(value).detach()) == pytest.approx(
        golden, rel=relative, abs=relative * abs(golden) + 1e-9
    )


def check_gradients(loss, inputs, golden, relative=1e-4):
    gradients = torch.autograd.grad(loss, inputs)
    for gradient, norm, total in zip(gradients, golden["grad_norms"], golden["grad_sums"], strict=True):
        agree(gradient.double().norm(), norm, relative)
        probe = (gradient.double() * tensor("probe", gradient.shape).double()).sum()
        assert float(probe) == pytest.approx(total, abs=relative * norm * 10)


def test_kd_golden():
    z_s = tensor("logits_student", (8, 100), std=3).requires_grad_()
    loss = DistillKL(4)(z_s, tensor("logits_teacher", (8, 100), std=3))
    agree(loss, GOLDEN["kd_T4"]["loss"])
    check_gradients(loss, [z_s], GOLDEN["kd_T4"])


def test_rkd_golden():
    f_s = tensor("embed_student", (8, 64)).requires_grad_()
    loss = RKDLoss(w_d=25, w_a=50)(f_s, tensor("embed_teacher", (8, 128)))
    agree(loss, GOLDEN["rkd"]["loss"])
    check_gradients(loss, [f_s], GOLDEN["rkd"])


def test_hint_golden():
    f_s = tensor("hint_student", (8, 32, 8, 8)).requires_grad_()
    loss = HintLoss()(f_s, tensor("hint_teacher", (8, 32, 8, 8)))
    agree(loss, GOLDEN["hint"]["loss"])
    check_gradients(loss, [f_s], GOLDEN["hint"])


@pytest.mark.parametrize("case", GOLDEN["fitnet"])
def test_fitnet_golden(case):
    golden = GOLDEN["fitnet"][case]
    regressor = fill(Regressor(tuple(golden["student"]), tuple(golden["teacher"]))).train()
    assert {
        k: list(v.shape) for k, v in Regressor(golden["student"], golden["teacher"]).state_dict().items()
    } == golden["state"]
    f_s = tensor("reg_student", golden["student"]).requires_grad_()
    loss = HintLoss()(regressor(f_s), tensor("reg_teacher", golden["teacher"]))
    agree(loss, golden["loss"])
    check_gradients(loss, [f_s], {"grad_norms": [golden["grad_norm"]], "grad_sums": [golden["grad_probe"]]})


def test_crd_golden():
    setup = GOLDEN["crd_setup"]
    n, k, batch = setup["n_data"], setup["nce_k"], 8
    loss_of = CRDLoss(setup["s_dim"], setup["t_dim"], n, setup["feat_dim"], k, setup["nce_t"], setup["nce_m"])
    fill(loss_of.head_s)
    fill(loss_of.head_t)
    for bank, name in ((loss_of.bank_s, "memory_student"), (loss_of.bank_t, "memory_teacher")):
        bank.vectors.copy_(torch.nn.functional.normalize(tensor(name, (n, 128)), dim=1))
    indices = torch.tensor(setup["index"])
    row = torch.arange(batch)[:, None]
    negatives = (torch.arange(batch * k).reshape(batch, k) * 7 + 13 + 31 * row) % n
    negatives = torch.where(negatives == indices[:, None], (negatives + 1) % n, negatives)
    f_s = tensor("embed_student", (8, 64)).requires_grad_()
    f_t = tensor("embed_teacher", (8, 128))
    weights = [f_s, loss_of.head_s.linear.weight, loss_of.head_t.linear.weight]
    for step in ("crd_step1", "crd_step2"):
        golden = GOLDEN[step]
        loss = loss_of(f_s, f_t, indices, torch.cat([indices[:, None], negatives], dim=1))
        agree(loss, golden["loss"])
        check_gradients(loss, weights, golden, relative=1e-3)
        agree(loss_of.z_s, golden["z_student"])
        agree(loss_of.z_t, golden["z_teacher"])
        for bank, key in ((loss_of.bank_s, "memory_student_probe"), (loss_of.bank_t, "memory_teacher_probe")):
            agree((bank.vectors.double() * tensor("probe", (n, 128)).double()).sum(), golden[key], 1e-3)


def published_name(key: str) -> str:
    """Our name of a SemCKD weight in the published implementation's words."""
    kind, first, *rest = key.split(".")
    if kind == "translators":
        return f"regressor{first}{rest[0]}.regressor.{'.'.join(rest[1:])}"
    return {"queries": "query_weight", "keys": "key_weight"}[kind] + f"{first}.{'.'.join(rest)}"


def test_semckd_golden():
    golden = GOLDEN["semckd_3x3"]
    student = [(16, 32), (16, 32), (32, 16), (64, 8)]
    teacher = [(32, 32), (32, 32), (64, 16), (128, 8)]
    method = SemCKD(example(student, teacher))
    names = {published_name(key): key for key in method.state_dict()}
    assert {k: list(method.state_dict()[v].shape) for k, v in names.items()} == GOLDEN["semckd_state"]

    class Published(torch.nn.Module):
        """Fills by the published names."""

        def state_dict(self):
            return {name: method.state_dict()[key] for name, key in names.items()}

        def load_state_dict(self, state):
            method.load_state_dict({names[name]: value for name, value in state.items()})

    fill(Published())
    method.train()
    maps_s = [
        tensor(f"map_student{i}", (8, c, s, s)).requires_grad_() for i, (c, s) in enumerate(student[1:])
    ]
    maps_t = [tensor(f"map_teacher{i}", (8, c, s, s)) for i, (c, s) in enumerate(teacher[1:])]
    attention = method.attention(maps_s, maps_t)
    assert torch.allclose(attention, torch.tensor(golden["attention"]), atol=1e-4)
    loss = SemCKDLoss()(*method.translate(maps_s, maps_t), attention)
    agree(loss, golden["loss"])
    check_gradients(loss, maps_s, golden, relative=1e-3)


def test_kd_is_zero_for_equal_logits_and_ignores_a_shift():
    z = tensor("z", (8, 10), std=3)
    assert DistillKL(4)(z, z + 5).item() == pytest.approx(0, abs=1e-5)


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


def test_crd_draws_what_the_seed_of_the_epoch_says():
    method = CRD(example(), nce_k=20)
    student, teacher = output(STUDENT, "s"), output(TEACHER, "t").detach()
    start = {key: value.clone() for key, value in method.state_dict().items()}

    def loss(seed):
        method.load_state_dict(start)
        method.random.manual_seed(seed)
        return method(student, teacher, a_batch()).item()

    assert loss(1) == loss(1) != loss(2)


def with_labels(*labels: int) -> Example:
    """The example for a training set with these labels."""
    return replace(example(), labels=torch.tensor(labels))


def test_crd_takes_all_images_of_other_classes_if_there_are_few():
    assert CRD(example()).loss.nce_k == 54
    assert CRD(with_labels(0, 0, 0, 1, 2, 2)).loss.nce_k == 3


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kd_keeps_the_size_of_its_gradient_when_the_temperature_grows(temperature):
    """For logits near each other T^2 makes up for the softened probabilities' smaller gradients: the loss of
    logits T times as large, divided by T^2, is the loss at temperature 1.
    """
    z_s, z_t = tensor("z_s", (8, 10)), tensor("z_t", (8, 10))
    scaled = DistillKL(temperature)(temperature * z_s, temperature * z_t) / temperature**2
    assert scaled.item() == pytest.approx(DistillKL(1.0)(z_s, z_t).item(), rel=1e-5)


def test_rkd_knows_no_scale_rotation_or_shift():
    f = tensor("f", (8, 16))
    rotation = torch.linalg.qr(tensor("rotation", (16, 16))).Q
    assert RKDLoss()(3 * f @ rotation + 1, f).item() == pytest.approx(0, abs=1e-5)
    assert RKDLoss()(tensor("g", (8, 16)), f).item() > 0.01


def test_rkd_survives_embeddings_that_are_all_the_same():
    f_s = torch.ones(8, 16, requires_grad=True)
    loss = RKDLoss()(f_s, tensor("f", (8, 16)))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(f_s.grad).all()


@pytest.mark.parametrize(
    "size_s, size_t", [(32, 32), (32, 16), (32, 8), (32, 4), (2, 8), (4, 8), (8, 32), (16, 2), (2, 6), (9, 4)]
)
def test_the_regressor_knows_every_relation_of_sizes(size_s, size_t):
    regressor = Regressor((2, 4, size_s, size_s), (2, 6, size_t, size_t))
    assert regressor(torch.zeros(2, 4, size_s, size_s)).shape == (2, 6, size_t, size_t)


def test_semckd_pairs_any_number_of_layers():
    student = [(8, 16), (8, 16), (16, 8), (16, 4), (32, 2)]
    method = SemCKD(example(student, TEACHER))
    attention = method.attention(output(student, "s").maps, output(TEACHER, "t").maps)
    assert attention.shape == (8, 4, 3)
    assert torch.allclose(attention.sum(dim=2), torch.ones(8, 4))


def test_impossible_settings_are_named():
    with pytest.raises(UserError, match="3 x 3 and cannot be enlarged to the teacher's 8 x 8"):
        Regressor((2, 4, 3, 3), (2, 6, 8, 8))
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
