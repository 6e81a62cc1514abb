"""Networks of timm, torchvision and a user's file: named, built, refused in one line."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from helper.errors import UserError
from models import build_network, check_model, is_network
from models.sources import build_foreign, shrink_stem
from models.tapped import Tapped

USER_FILE = """
from torch import nn
from beside import WIDTH

def small(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, 2, 1), nn.ReLU(), nn.Conv2d(WIDTH, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )

def nothing(num_classes):
    return None

def raising(num_classes):
    raise ValueError("no luck")

def detector(num_classes):
    class Boxes(nn.Module):
        def forward(self, x):
            return {"boxes": x}
    return Boxes()

def spatial(num_classes):
    return nn.Conv2d(3, num_classes, 3)

number = 5
"""


@pytest.fixture
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a file with functions, and a file beside it that it imports."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    (tmp_path / "beside.py").write_text("WIDTH = 8\n")
    (tmp_path / "net.py").write_text(USER_FILE)
    return str(tmp_path / "net.py")


def refusal(name: str, classes: int = 5) -> str:
    with pytest.raises(UserError) as error:
        build_network(name, classes)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_s_networks_are_torchvision_s(name):
    import torchvision

    torch.manual_seed(3)
    ours = build_network(f"torchvision:{name}", 7)
    torch.manual_seed(3)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=7)
    assert isinstance(ours, Tapped) and type(ours.network) is type(theirs)
    pairs = zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_timm_s_networks_are_sized_for_the_images():
    pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    for size in (32, 64):
        network = build_network("timm:test_vit", 7, size)
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_timm_that_is_missing_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert refusal("timm:resnet18").endswith("the package timm, which is missing: sh scripts/setup.sh extra")


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(
        UserError, match="--model_s torchvision:resnet19 is unknown; the nearest are "
    ) as error:
        check_model("--model_s", "torchvision:resnet19")
    assert "torchvision:resnet18" in str(error.value) and str(error.value).count("torchvision:") <= 6
    pytest.importorskip("timm", reason="timm is not installed: sh scripts/setup.sh extra")
    assert "timm:resnet18" in refusal("timm:resnet19d")
    assert "is unknown" in refusal("timm:hf-hub:timm/resnet18.a1_in1k")


def test_torchvision_s_detectors_are_no_names():
    assert "is unknown" in refusal("torchvision:fasterrcnn_resnet50_fpn")


def test_a_function_of_a_file_is_called_with_the_classes(user_file):
    network = build_network(f"{user_file}:small", 5)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert network.network[0].out_channels == 8, "a file beside it can be imported"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("missing", "has no function missing: give one that takes num_classes="),
        ("number", "has no function number"),
        ("", "has no function"),
        ("nothing", "returned a NoneType: it has to return a torch.nn.Module"),
        ("raising", "cannot be built for 5 classes and images of 32 x 32: ValueError: no luck"),
        ("detector", "gives no logits (images, classes) but dict"),
        ("spatial", "gives no logits (images, classes) but (2, 5, 30, 30)"),
    ],
)
def test_what_is_wrong_with_a_function_is_said(function, said, user_file):
    assert said in refusal(f"{user_file}:{function}")


def test_what_is_wrong_with_a_file_is_said(user_file):
    assert "there is no file nowhere.py: give FILE.py:FUNCTION" in refusal("nowhere.py:f")
    Path(user_file).with_name("broken.py").write_text("1 / 0\n")
    broken = user_file.replace("net.py", "broken.py:f")
    assert "broken.py raised ZeroDivisionError: division by zero" in refusal(broken)
    assert "broken.py raised ZeroDivisionError" in refusal(broken), "nothing of the first time is left"


def test_a_network_too_deep_for_the_images_is_refused():
    assert refusal("torchvision:alexnet").startswith("torchvision:alexnet cannot take images of 32 x 32: ")


def test_names_of_before_are_what_they_were():
    assert is_network("resnet8") and is_network("reused/resnet8/resnet14")
    assert not is_network("resnet9") and not is_network("other:resnet8")
    assert not isinstance(build_network("resnet8", 5), Tapped)


def test_a_small_stem_keeps_every_weight_and_halves_less():
    import torchvision

    plain = torchvision.models.resnet18(num_classes=5)
    small = torchvision.models.resnet18(num_classes=5)
    assert shrink_stem(small) == ["conv1", "maxpool"]
    small.load_state_dict(plain.state_dict())
    network = build_network("torchvision:resnet18", 5, small_stem=True).eval()
    sides = [m.shape[-1] for m in network.outputs(torch.zeros(2, 3, 32, 32)).maps]
    assert sides == [32, 16, 8, 4]


def test_a_stem_that_cannot_be_made_smaller_is_said(tmp_path):
    (tmp_path / "flat.py").write_text(
        "from torch import nn\n"
        "def f(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))\n"
    )
    with pytest.raises(UserError, match="--small_stem changes nothing in"):
        build_foreign(f"{tmp_path}/flat.py:f", 5, small_stem=True)
    network = build_network(f"{tmp_path}/flat.py:f", 5)
    assert isinstance(network.classifier, nn.Linear) and network.outputs(torch.ones(2, 3, 32, 32)).maps == []
