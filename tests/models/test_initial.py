"""First weights from a file: all that fits, the classifier only for as many classes, nothing half."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from helper.errors import UserError
from models import build_network
from models.initial import initialise

NAME = "torchvision:shufflenet_v2_x0_5"


def weights(classes: int, name: str = NAME) -> dict[str, Tensor]:
    torch.manual_seed(9)
    return dict(build_network(name, classes).state_dict())


@pytest.mark.parametrize("kind", ["pth", "safetensors", "prefix"])
def test_weights_of_as_many_classes_are_all_taken(kind, tmp_path):
    given, path = weights(5), tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(given, path)
    elif kind == "prefix":
        torch.save({"state_dict": {f"module.{key}": value for key, value in given.items()}}, path)
    else:
        torch.save(given, path)
    network = build_network(NAME, 5)
    assert initialise(network, NAME, path) == f"begins with the weights of {path}"
    assert all(torch.equal(value, given[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "classifier"),
    [(NAME, "fc"), ("resnet8", "fc"), ("vgg8", "classifier"), ("MobileNetV2", "classifier.0")],
)
def test_the_classifier_alone_is_left_out_for_other_classes(name, classifier, tmp_path):
    given, path = weights(7, name), Path(tmp_path / "weights.pth")
    torch.save({"model": given}, path)
    network = build_network(name, 5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    said = initialise(network, name, path)
    assert said.endswith(f"but for {classifier}.weight and {classifier}.bias, which are for other classes")
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key] if key.startswith(f"{classifier}.") else given[key])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv1.0.weight": None}, "1 weights missing, 0 unknown, 0 of another shape"),
        ({"further": torch.zeros(1)}, "0 weights missing, 1 unknown, 0 of another shape"),
        ({"conv5.0.weight": torch.zeros(2, 2, 1, 1)}, "1 of another shape (first: conv5.0.weight)"),
        ({"fc.weight": torch.zeros(5, 3)}, "1 of another shape (first: fc.weight)"),
        ({"fc.bias": torch.full((5,), torch.nan)}, "not finite numbers (first: fc.bias)"),
    ],
)
def test_all_else_has_to_fit(change, said, tmp_path):
    given = {key: value for key, value in (weights(5) | change).items() if value is not None}
    torch.save({"model": given}, tmp_path / "weights.pth")
    network = build_network(NAME, 5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UserError) as error:
        initialise(network, NAME, tmp_path / "weights.pth")
    assert said in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
