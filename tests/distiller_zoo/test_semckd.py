"""SemCKD: the published values, and any number of layers."""

import torch
from torch import nn

from distiller_zoo import SemCKDLoss
from distiller_zoo.semckd import SemCKD, Translator
from tests.distiller_zoo.materials import (
    TEACHER,
    example,
    output,
)
from tests.distiller_zoo.published import GOLDEN, agree, check_gradients
from tests.golden.formula import fill, tensor


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


def test_semckd_pairs_any_number_of_layers():
    student = [(8, 16), (8, 16), (16, 8), (16, 4), (32, 2)]
    method = SemCKD(example(student, TEACHER))
    attention = method.attention(output(student, "s").maps, output(TEACHER, "t").maps)
    assert attention.shape == (8, 4, 3)
    assert torch.allclose(attention.sum(dim=2), torch.ones(8, 4))


def test_a_cap_narrows_the_translators_and_is_off_by_default():
    wide = [layer.out_channels for layer in Translator(8, 32) if isinstance(layer, nn.Conv2d)]
    assert wide == [64, 64, 32]
    capped = [layer.out_channels for layer in Translator(8, 32, 16) if isinstance(layer, nn.Conv2d)]
    assert capped == [16, 16, 32]
    shapes = [[p.shape for p in one.parameters()] for one in (Translator(8, 32, 999), Translator(8, 32))]
    assert shapes[0] == shapes[1]
