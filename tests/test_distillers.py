"""Offline methods against the values of their published implementations, and their own properties."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from distiller_zoo import CRDLoss, DistillKL, Example, HintLoss, RKDLoss, SemCKDLoss, distiller_dict
from distiller_zoo.fitnet import Regressor
from distiller_zoo.semckd import SemCKD
from helper.batch import Batch, Output
from helper.errors import UserError
from tests.golden.formula import fill, tensor

GOLDEN = json.loads((Path(__file__).parent / "golden" / "losses.json").read_text())
CLASSES = 10


def flags(**changed) -> argparse.Namespace:
    """The flags of all methods at their defaults."""
    parser = argparse.ArgumentParser()
    for method in dict.fromkeys(distiller_dict.values()):
        method.add_arguments(parser)
    args = parser.parse_args([])
    return argparse.Namespace(**{**vars(args), "kd_T": 4.0, **changed})


def output(batch: int, shapes: list[tuple[int, int]], name: str, embedding: int | None = None) -> Output:
    """An Output with maps of (channels, size), the stem's first, an embedding, and logits that need
    gradients.
    """
    maps = [tensor(f"{name}{i}", (batch, c, s, s)).requires_grad_() for i, (c, s) in enumerate(shapes)]
    maps.append(tensor(f"{name} embedding", (batch, embedding or shapes[-1][0])).requires_grad_())
    return Output(maps, tensor(f"{name} logits", (batch, CLASSES), std=3).requires_grad_())


STUDENT = [(8, 16), (8, 16), (16, 8), (32, 4)]
TEACHER = [(8, 16), (16, 16), (32, 8), (64, 4)]
LABELS = torch.arange(60) % CLASSES


def example(batch: int = 8, student=STUDENT, teacher=TEACHER, labels=LABELS) -> Example:
    return Example(
        output(2, student, "s").detach(), output(2, teacher, "t").detach(), labels, batch, CLASSES, seed=3
    )


def a_batch(batch: int = 8, labels=LABELS) -> Batch:
    indices = torch.arange(batch) * 3
    return Batch(torch.zeros(batch, 3, 32, 32), labels[indices], indices)


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
    method = SemCKD(example(8, student, teacher), flags())
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


@pytest.mark.parametrize("name", distiller_dict)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_method_gives_a_finite_fp32_loss_with_gradients(name, precision):
    method = distiller_dict[name](example(), flags(nce_k=20))
    student = output(8, STUDENT, "s")
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = method(student, output(8, TEACHER, "t").detach(), a_batch())
    assert loss.dtype == torch.float32 and loss.shape == () and torch.isfinite(loss)
    loss.backward()
    reached = [t.grad for t in [*student.features, student.logits] if t.grad is not None]
    assert reached and all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in reached)
    assert all(p.grad is not None for p in method.parameters())


@pytest.mark.parametrize("mode", ["exact", "relax"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_method_resumes_from_its_state_dict_and_random_state(mode, precision):
    first, second = (distiller_dict["crd"](example(), flags(nce_k=20, crd_mode=mode)) for _ in range(2))
    student, teacher = output(8, STUDENT, "s"), output(8, TEACHER, "t").detach()
    first.begin_epoch(5)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(3):
            first(student, teacher, a_batch())
        second(student, teacher, a_batch())
        second.load_state_dict(first.state_dict())
        second.set_random_state(first.random_state())
        for _ in range(3):
            assert torch.equal(first(student, teacher, a_batch()), second(student, teacher, a_batch()))
    assert torch.equal(first.loss.bank_s.vectors, second.loss.bank_s.vectors)


def test_crd_draws_what_the_seed_of_the_epoch_says():
    method = distiller_dict["crd"](example(), flags(nce_k=20))
    student, teacher = output(8, STUDENT, "s"), output(8, TEACHER, "t").detach()
    start = {key: value.clone() for key, value in method.state_dict().items()}

    def loss(seed):
        method.load_state_dict(start)
        method.begin_epoch(seed)
        return method(student, teacher, a_batch()).item()

    assert loss(1) == loss(1) != loss(2)


def test_crd_takes_all_images_of_other_classes_if_there_are_few():
    assert distiller_dict["crd"](example(), flags()).loss.nce_k == 54
    uneven = torch.tensor([0, 0, 0, 1, 2, 2])
    assert distiller_dict["crd"](example(labels=uneven), flags()).loss.nce_k == 3


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
    method = distiller_dict["semckd"](example(8, student, TEACHER), flags())
    maps_s, maps_t = output(8, student, "s").features[1:-1], output(8, TEACHER, "t").features[1:-1]
    attention = method.attention(maps_s, maps_t)
    assert attention.shape == (8, 4, 3)
    assert torch.allclose(attention.sum(dim=2), torch.ones(8, 4))


def test_impossible_settings_are_named():
    with pytest.raises(UserError, match="3 x 3 and cannot be enlarged to the teacher's 8 x 8"):
        Regressor((2, 4, 3, 3), (2, 6, 8, 8))
    with pytest.raises(UserError, match="of one class"):
        distiller_dict["crd"](example(labels=torch.zeros(9, dtype=torch.int64)), flags())
    with pytest.raises(UserError, match=r"--hint_layer 3 .* 1 to 2"):
        distiller_dict["fitnet"](example(teacher=TEACHER[:3]), flags(hint_layer=3))
    with pytest.raises(UserError, match=r"--hint_layer 4 .* 1 to 3"):
        distiller_dict["fitnet"](example(), flags(hint_layer=4))
    with pytest.raises(UserError, match=r"--nce_k 55 .* allowed are 1 to 54"):
        distiller_dict["crd"](example(), flags(nce_k=55))
    with pytest.raises(UserError, match="--batch_size 3 is too small for semckd"):
        distiller_dict["semckd"](example(3), flags())
    method = distiller_dict["semckd"](example(8), flags())
    with pytest.raises(UserError, match="built for batches of 8 and got 4"):
        method(output(4, STUDENT, "s"), output(4, TEACHER, "t"), a_batch(4))
