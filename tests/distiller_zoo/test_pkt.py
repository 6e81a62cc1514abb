"""PKT: shares of similarity between embeddings."""

import torch

from distiller_zoo.pkt import PKT, PKTLoss
from tests.distiller_zoo import materials

LOSS = PKTLoss()


def of_lists(f_s, f_t):
    return LOSS(f_s[0], f_t[0])


def embeddings() -> tuple[torch.Tensor, torch.Tensor]:
    return materials.maps([(6, 16)], "s")[0], materials.maps([(6, 40)], "t")[0]


def test_only_directions_count():
    f_s, f_t = embeddings()
    assert LOSS(f_s, f_s) == 0
    assert abs(LOSS(f_s, 7 * torch.cat([f_s, f_s], dim=1))) < 1e-7
    assert LOSS(f_s, f_t) > 1e-4


def test_precision_and_the_teacher():
    f_s, f_t = embeddings()
    materials.assert_teacher_is_constant(of_lists, [f_s], [f_t])
    exact = LOSS(f_s.double(), f_t.double())
    torch.testing.assert_close(LOSS(f_s, f_t).double(), exact, rtol=1e-4, atol=0)
    low = LOSS(f_s.bfloat16(), f_t.bfloat16())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), exact, rtol=0.05, atol=0)


def test_rows_of_zeros_have_finite_gradients():
    f_s, f_t = (f.detach().clone() for f in embeddings())
    f_s[1] = 0
    f_t[2] = 0
    (found,) = materials.gradients(LOSS(f_s.requires_grad_(), f_t), [f_s])
    assert found[1].abs().max() == 0 and found[0].abs().max() > 0
    nothing = torch.zeros(6, 16, requires_grad=True)
    materials.gradients(LOSS(nothing, f_t), [nothing])


def test_the_method_compares_embeddings():
    student, teacher = materials.output(materials.STUDENT, "s"), materials.output(materials.TEACHER, "t")
    value = PKT(materials.example())(student, teacher, materials.a_batch())
    assert value == LOSS(student.embedding, teacher.embedding)
    materials.gradients(value, [student.embedding])
