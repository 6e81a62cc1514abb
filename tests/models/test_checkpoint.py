"""Networks of files: whoever wrote them, whatever stands before their names, whichever file is given."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from helper.checkpoint import digest, write_checkpoint
from helper.errors import UserError
from models import build_network, model_dict
from models.checkpoint import load_network, read_network
from models.layouts import LAYOUTS

CLASSES = 7


def weights(name: str = "resnet8", classes: int = CLASSES, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(build_network(name, classes).state_dict())


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def saved(content: object, folder: Path) -> Path:
    path = folder / "some.pth"
    torch.save(content, path)
    return path


def refusal(path: Path, name: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        read_network(path, name)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_holds(path: Path, name: str, state: Mapping[str, Tensor]) -> str | None:
    """The file's network has these weights; returns what is said of where they were found."""
    file = read_network(path, name)
    assert (file.arch, file.num_classes) == (name, CLASSES)
    found = file.network.state_dict()
    assert found.keys() == state.keys() == file.weights.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())
    return file.took


def test_the_plain_format_needs_no_word(tmp_path):
    path = saved({"model": weights(), "arch": "resnet8", "epoch": 3}, tmp_path)
    assert assert_holds(path, "resnet8", weights()) is None
    assert read_network(path).sha256() == digest(weights())


@pytest.mark.parametrize("entry", [entry for entry in LAYOUTS if entry != "model"])
def test_every_layout_loads_and_what_was_taken_is_said(entry, tmp_path):
    path = saved({entry: weights(), "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, tmp_path)
    assert (
        assert_holds(path, "resnet8", weights()) == f"{path}: the network's weights are its entry '{entry}'"
    )


def test_an_average_beside_the_weights_is_not_taken_and_named(tmp_path):
    both = {"state_dict_ema": weights(seed=2), "state_dict": weights()}
    assert assert_holds(saved(both, tmp_path), "resnet8", weights()).endswith("; not taken: state_dict_ema")


def test_a_bare_state_dict_loads(tmp_path):
    said = assert_holds(saved(weights("vgg8"), tmp_path), "vgg8", weights("vgg8"))
    assert said.endswith("are its tensors, a bare state dict")


def test_safetensors_load(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(weights(), path)
    assert assert_holds(path, "resnet8", weights()).endswith("a bare state dict")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "module.student.", "model.backbone."]
)
def test_any_one_common_prefix_is_stripped(prefix, tmp_path):
    path = saved({"model": prefixed(prefix, weights())}, tmp_path)
    assert assert_holds(path, "resnet8", weights()).endswith(f"'model', without the prefix '{prefix}'")


def test_networks_whose_stages_were_compiled_load(tmp_path):
    inside = {key.replace("layer2.", "layer2._orig_mod."): value for key, value in weights().items()}
    assert "'_orig_mod.'" in assert_holds(saved({"model": inside}, tmp_path), "resnet8", weights())


@pytest.mark.parametrize(("student", "teacher"), [("resnet8", "resnet20"), ("wrn_16_1", "wrn_16_2")])
def test_a_student_is_taken_from_between_its_teacher_and_a_methods_layers(student, teacher, tmp_path):
    whole = prefixed("module.student.", weights(student)) | prefixed("module.teacher.", weights(teacher))
    path = saved({"model": whole | {"module.embed.weight": torch.zeros(2, 2)}}, tmp_path)
    assert "'module.student.'" in assert_holds(path, student, weights(student))
    assert "'module.teacher.'" in assert_holds(path, teacher, weights(teacher))


def test_two_networks_that_fit_are_named_instead_of_chosen_from(tmp_path):
    both = prefixed("student.", weights()) | prefixed("teacher.", weights(seed=2))
    line = refusal(saved({"model": both}, tmp_path), "resnet8")
    assert "holds 2 networks that fit, under the prefixes student., teacher.:" in line


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_without_counters_of_batches_load(prefix, tmp_path):
    old = {key: value for key, value in weights().items() if not key.endswith("num_batches_tracked")}
    path = saved({"model": prefixed(prefix, old)}, tmp_path)
    file = read_network(path, "resnet8")
    assert "which lacks num_batches_tracked" in file.took
    assert all(torch.equal(file.network.state_dict()[key], value) for key, value in old.items())
    assert file.network.state_dict().keys() == weights().keys()


def test_weights_that_lack_more_than_counters_do_not_load(tmp_path):
    lacking = {key: value for key, value in weights().items() if not key.startswith("bn1.")}
    assert "5 weights missing, 0 unknown" in refusal(saved({"model": lacking}, tmp_path), "resnet8")


@pytest.mark.parametrize("arch", ["cifar100_resnet20", ["resnet", 20], "timm/resnet20.in1k"])
def test_the_given_name_wins_over_a_name_of_another_code_base(arch, tmp_path):
    path = saved({"state_dict": weights("resnet20"), "arch": arch}, tmp_path)
    assert_holds(path, "resnet20", weights("resnet20"))
    said = "if it is one of these, name it with --model_t (evaluate.py: --model); its weights fit resnet20"
    assert refusal(path).endswith(said)


def test_the_given_name_does_not_win_over_another_network_of_ours(tmp_path):
    path = saved({"model": weights("resnet20"), "arch": "resnet20"}, tmp_path)
    assert f"{path} holds a resnet20, not a resnet8" in refusal(path, "resnet8")
    reused = saved({"model": weights("reused/resnet8/vgg8"), "arch": "reused/resnet8/vgg8"}, tmp_path)
    assert f"{reused} holds a reused/resnet8/vgg8, not a resnet8" in refusal(reused, "resnet8")


@pytest.mark.parametrize("name", ["vgg13", "wrn_40_1", "MobileNetV2", "ShuffleV1", "resnet8x4", "ResNet50"])
@pytest.mark.parametrize("prefix", ["", "module._orig_mod."])
def test_weights_without_a_name_are_told_which_network_they_fit(name, prefix, tmp_path):
    path = saved(prefixed(prefix, weights(name)), tmp_path)
    assert refusal(path) == (
        f"{path} does not say which network it holds: name it with --model_t (evaluate.py: --model); its "
        f"weights fit {name}"
    )


def test_weights_under_another_name_are_told_which_network_they_fit(tmp_path):
    path = saved({"net": weights("resnet14")}, tmp_path)
    assert refusal(path, "vgg8").endswith(
        "name its network with --model_t (evaluate.py: --model); its weights fit resnet14"
    )
    strange = saved({"fc.weight": torch.zeros(3, 5)}, tmp_path)
    assert refusal(strange).endswith("name it with --model_t (evaluate.py: --model)")


def test_networks_made_of_two_are_loaded_by_their_name(tmp_path):
    name = "reused/resnet8/vgg8"
    assert assert_holds(saved({"model": weights(name), "arch": name}, tmp_path), name, weights(name)) is None


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("ResNet18", "resnet18"),
        ("vgg13", "vgg13_bn"),
        ("MobileNetV2", "mobilenet_v2"),
        ("ShuffleV2", "shufflenet_v2_x1_0"),
    ],
)
def test_another_network_of_that_name_is_told_from_ours(name, build, tmp_path):
    models = pytest.importorskip("torchvision.models")
    state = getattr(models, build)(num_classes=CLASSES).state_dict()
    line = refusal(saved({"state_dict": prefixed("module.", state)}, tmp_path), name)
    assert f"({name}) is another network that has this name too, torchvision's" in line


def test_the_state_of_a_run_is_answered_with_the_runs_networks(tmp_path):
    for name in ("kd_last", "kd_best", "crd_last", "ensemble_last"):
        (tmp_path / f"{name}.pth").touch()
    write_checkpoint({"optimizer": {}, "progress": {}, "task": {}}, tmp_path / "last.pth")
    line = refusal(tmp_path / "last.pth", "resnet8")
    assert "is the state of a run, from which --resume goes on, no network" in line
    assert line.endswith("crd_last.pth, kd_last.pth, kd_best.pth")


def test_an_ensemble_is_answered_with_its_students_and_its_own_flag(tmp_path):
    content = {"online": "wavg", "students": ["kd", "crd_2"], "num_classes": 3, "state": {}}
    write_checkpoint(content, tmp_path / "ensemble_last.pth")
    line = refusal(tmp_path / "ensemble_last.pth")
    assert "kd_last.pth, crd_2_last.pth, and this file with --ensemble of evaluate.py" in line


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "vgg8", "ShuffleV1"])
def test_the_number_of_classes_is_that_of_the_weights(name, tmp_path):
    for classes in (2, 100, 1000):
        path = saved({"model": weights(name, classes), "num_classes": 5}, tmp_path)
        assert read_network(path, name).num_classes == classes
    with pytest.raises(UserError, match="was trained for 1000 classes, the data set has 100"):
        load_network(path, 100, name)
    network, arch, content = load_network(path, 1000, name)
    assert arch == name and content["num_classes"] == 5
    assert content["model"].keys() == network.state_dict().keys()


def test_no_classes_at_all_are_another_architecture(tmp_path):
    empty = weights() | {"fc.weight": torch.zeros(0, 64), "fc.bias": torch.zeros(0)}
    assert "2 of another shape" in refusal(saved({"model": empty}, tmp_path), "resnet8")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_another_architecture_says_what_differs(prefix, tmp_path):
    path = saved({"model": prefixed(prefix, weights("resnet14"))}, tmp_path)
    extra = len(model_dict["resnet14"]().state_dict()) - len(model_dict["resnet8"]().state_dict())
    assert f"0 weights missing, {extra} unknown, 0 of another shape" in refusal(path, "resnet8")


def test_what_holds_no_weights_is_told_with_what_is_looked_for(tmp_path):
    path = saved({"model": {1: torch.zeros(2)}, "epoch": 3}, tmp_path)
    line = refusal(path, "resnet8")
    assert line.startswith(
        f"{path} has no 'model' entry with a network's weights; it has model, epoch: save "
    )
    assert all(entry in line for entry in LAYOUTS)
