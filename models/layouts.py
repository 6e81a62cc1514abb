"""How code bases keep a network's weights in a file, and how they are found there."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helper.errors import UserError

# the entries in which weights are looked for, in this order, and who writes them
LAYOUTS = {
    "model": "this project, RepDistiller, SemCKD, mdistiller, torchvision's references",
    "state_dict": "PyTorch's examples, timm, Lightning, OpenMMLab, MoCo",
    "model_state_dict": "PyTorch's tutorials",
    "net": "pytorch-cifar and what grew from it",
    "network": "",
    "weights": "",
    "student": "",
    "model_ema": "torchvision's references: an average over the steps",
    "state_dict_ema": "timm: an average over the steps",
    "ema_state_dict": "",
}
COMPILED = "_orig_mod."  # what torch.compile puts before the names of what it compiles
COUNTER = "num_batches_tracked"  # of a batch norm; PyTorch before 0.4.1 had none, and no output depends on it
SHOWN_ENTRIES = 6


def find_weights(content: Mapping[str, Any], path: Path) -> tuple[str | None, dict[str, Tensor]]:
    """The entry that holds a network's weights, None for a bare state dict, and the weights.

    Raises UserError, which names the entries that there are, if no entry of LAYOUTS holds any.
    """
    for entry in LAYOUTS:
        if is_state_dict(content.get(entry)):
            return entry, dict(content[entry])
    if is_state_dict(content):
        return None, dict(content)
    found = [str(key) for key in content]
    more = ", ..." if len(found) > SHOWN_ENTRIES else ""
    raise UserError(
        f"{path} has no 'model' entry with a network's weights; it has "
        f"{', '.join(found[:SHOWN_ENTRIES]) or 'nothing'}{more}: save {{'model': weights}} (looked for are "
        f"{', '.join(LAYOUTS)}, and a bare state dict)"
    )


def is_state_dict(value: Any) -> bool:
    """Whether a value maps names to plain tensors, of which it has some."""
    return isinstance(value, Mapping) and bool(value) and all(map(is_weight, value, value.values()))


def is_weight(key: Any, value: Any) -> bool:
    """Whether an entry of a state dict is a name and a plain tensor."""
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def without_prefix(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], str]:
    """The weights under the names of a network's own, and the prefix that stood before these.

    What stands under other prefixes, such as a teacher or a method beside the student, is left out. Raises
    UserError when two prefixes fit.
    """
    for names in (weights, {key.replace(COMPILED, ""): value for key, value in weights.items()}):
        if fits(names, own):
            return dict(names), "" if names is weights else COMPILED
        found = {prefix: below(names, prefix) for prefix in prefixes(names, own)}
        found = {prefix: part for prefix, part in found.items() if fits(part, own)}
        if len(found) > 1:
            raise UserError(
                f"{path} holds {len(found)} networks that fit, under the prefixes {', '.join(found)}: save "
                "the one that is meant as {'model': weights}"
            )
        for prefix, part in found.items():
            return part, prefix
    best = max(
        ["", *prefixes(weights, own)], key=lambda prefix: len(below(weights, prefix).keys() & own.keys())
    )
    return below(weights, best), best


def prefixes(weights: Collection[str], own: Mapping[str, Tensor]) -> list[str]:
    """What stands before the name of the network's first weight, wherever that is found."""
    first = f".{next(iter(own))}"
    return [key.removesuffix(first) + "." for key in weights if key.endswith(first)]


def below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names have the prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def fits(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Whether the names are a network's own and the shapes too, but for the number of classes."""
    if {k for k in weights if not k.endswith(COUNTER)} != {k for k in own if not k.endswith(COUNTER)}:
        return False
    return all(
        value.shape == own[key].shape or value.shape[1:] == own[key].shape[1:]
        for key, value in weights.items()
        if key in own
    )


def with_counters(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with a network's own counters of batches, if that is all that they lack."""
    missing = {key: value for key, value in own.items() if key not in weights}
    return {**weights, **missing} if all(key.endswith(COUNTER) for key in missing) else dict(weights)


def what_was_taken(
    path: Path, content: Mapping[str, Any], entry: str | None, prefix: str, completed: bool
) -> str | None:
    """What to say of where the weights were found; None for all that a file of this project has."""
    if entry == "model" and not prefix and not completed:
        return None
    where = "its tensors, a bare state dict" if entry is None else f"its entry '{entry}'"
    if prefix:
        where += f", without the prefix '{prefix}'"
    if completed:
        where += f", which lacks {COUNTER} (no output depends on it)"
    others = [
        name for name in LAYOUTS if entry is not None and name != entry and is_state_dict(content.get(name))
    ]
    also = f"; not taken: {', '.join(others)}" if others else ""
    return f"{path}: the network's weights are {where}{also}"
