"""CRD as a method: the published values, and what it draws."""

import torch

from distiller_zoo import CRDLoss
from distiller_zoo.crd import CRD
from tests.distiller_zoo.materials import (
    STUDENT,
    TEACHER,
    a_batch,
    example,
    output,
    with_labels,
)
from tests.distiller_zoo.published import GOLDEN, agree, check_gradients
from tests.golden.formula import fill, tensor


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


def test_crd_draws_what_the_seed_of_the_epoch_says():
    method = CRD(example(), nce_k=20)
    student, teacher = output(STUDENT, "s"), output(TEACHER, "t").detach()
    start = {key: value.clone() for key, value in method.state_dict().items()}

    def loss(seed):
        method.load_state_dict(start)
        method.random.manual_seed(seed)
        return method(student, teacher, a_batch()).item()

    assert loss(1) == loss(1) != loss(2)


def test_crd_takes_all_images_of_other_classes_if_there_are_few():
    assert CRD(example()).loss.nce_k == 54
    assert CRD(with_labels(0, 0, 0, 1, 2, 2)).loss.nce_k == 3
