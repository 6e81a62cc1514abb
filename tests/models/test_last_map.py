"""The map whose average a network classifies: given by the zoo, found in other networks."""

import pytest
import torch

from models import model_dict
from models.last_map import find_averaged_map, find_last_map, last_activated_map, last_stage_map
from tests.golden.formula import fill, tensor


@pytest.mark.parametrize(
    "name", ["resnet8", "ResNet18", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2"]
)
def test_the_embedding_is_the_average_of_that_map(name):
    network = fill(model_dict[name](num_classes=10)).eval()
    out = network.outputs(tensor("images", (2, 3, 32, 32)))
    assert torch.allclose(out.averaged.mean(dim=(2, 3)), out.embedding, rtol=1e-4, atol=1e-5)
    assert torch.equal(find_averaged_map(out)(out), out.averaged)
    assert torch.equal(out.detach().averaged, out.averaged)
    assert not out.detach().averaged.requires_grad


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet8", last_stage_map),
        ("wrn_16_1", last_activated_map),
        ("vgg8", last_stage_map),
        ("MobileNetV2", None),
        ("ShuffleV2", None),
    ],
)
def test_where_a_network_does_not_say_it_is_found_among_the_stages(name, found):
    network = fill(model_dict[name](num_classes=10)).eval()
    out = network.outputs(tensor("images", (2, 3, 32, 32)))._replace(averaged=None)
    assert find_last_map(out) is found
    assert find_averaged_map(out) is found
