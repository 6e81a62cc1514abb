"""A network by its name or from a checkpoint, and where teachers stand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helper.checkpoint import read_checkpoint
from helper.errors import UserError
from helper.files import hard_link
from models import build_network, is_network, model_dict

SHOWN_ENTRIES = 6
NAMING = "--model_t (evaluate.py: --model)"


def teacher_copy_path(save_folder: Path, model: str, dataset: str, epochs: int) -> Path:
    """Where `train_teacher.py` leaves a teacher for the scripts that use it: the published layout."""
    kind = "vanilla" if dataset == "cifar100" else dataset
    return save_folder / "models" / f"{model}_{kind}" / f"ckpt_epoch_{epochs}.pth"


def leave_teacher(network: Path, copy: Path) -> str:
    """Put a trained network where teachers are looked for, unless one stands there already; returns what to
    say.
    """
    if copy.exists():
        return f"{copy} stays as it was; this run's network is {network}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    hard_link(network, copy)
    return f"teacher: {copy}"


def network_name(content: dict[str, Any], path: Path, model_name: str | None) -> str:
    """A checkpoint's network: its 'arch', else the given name, else its folder's '<name>_vanilla'."""
    arch = content.get("arch")
    if arch is not None and model_name is not None and arch != model_name:
        raise UserError(
            f"{path} holds a {arch}, not a {model_name}: leave that name out, or give another checkpoint"
        )
    name = arch or model_name
    if name is None and path.parent.name.endswith("_vanilla"):
        name = path.parent.name.removesuffix("_vanilla")
    if name is None:
        raise UserError(f"{path} does not say which network it holds: name it with {NAMING}")
    if not isinstance(name, str) or not is_network(name):
        raise UserError(f"{path}: unknown network {name!r}; the networks are {', '.join(model_dict)}")
    return name


def load_network(
    path: str | Path, num_classes: int, model_name: str | None = None
) -> tuple[nn.Module, str, dict[str, Any]]:
    """The network of a checkpoint on the CPU, its name, and the checkpoint's content.

    Raises UserError when the checkpoint is of another architecture or class count, damaged or missing.
    """
    path = Path(path)
    content = read_checkpoint(path)
    weights = content.get("model")
    if not isinstance(weights, Mapping) or not all(map(is_weight, weights, weights.values())):
        found = [str(key) for key in content]
        more = ", ..." if len(found) > SHOWN_ENTRIES else ""
        raise UserError(
            f"{path} has no 'model' entry with a network's weights; it has "
            f"{', '.join(found[:SHOWN_ENTRIES]) or 'nothing'}{more}: save {{'model': weights}}"
        )
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    name = network_name(content, path, model_name)
    network = build_network(name, num_classes)
    load_strictly(network, weights, f"{path} ({name})", num_classes)
    return network, name, content


def load_strictly(network: nn.Module, weights: Mapping[str, Tensor], what: str, num_classes: int) -> None:
    """Load weights into the network; every name and shape must fit, else UserError says what does not."""
    own = network.state_dict()
    differing = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    missing = [key for key in own if key not in weights]
    unexpected = [key for key in weights if key not in own]
    classes = {weights[key].shape[0] for key in differing if own[key].shape[:1] == (num_classes,)}
    if not missing and not unexpected and len(classes) == 1 and len(differing) <= 2:
        raise UserError(
            f"{what} was trained for {classes.pop()} classes, the data set has {num_classes}: "
            "use a network trained on this data set"
        )
    if differing or missing or unexpected:
        example = (missing + unexpected + differing)[0]
        raise UserError(
            f"{what} is of another architecture: {len(missing)} weights missing, {len(unexpected)} unknown, "
            f"{len(differing)} of another shape (first: {example}); name its network with {NAMING}"
        )
    if broken := [key for key in own if not bool(weights[key].isfinite().all())]:
        raise UserError(
            f"{what} has weights that are not finite numbers (first: {broken[0]}): take an older checkpoint"
        )
    network.load_state_dict(weights)


def is_weight(key: Any, value: Any) -> bool:
    """Whether an entry of a state dict is a name and a plain tensor."""
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def check_model(flag: str, name: str) -> str:
    """The name, if there is such a network; else UserError lists those there are."""
    if name not in model_dict:
        raise UserError(f"{flag} {name} is unknown; the networks are {', '.join(model_dict)}")
    return name
