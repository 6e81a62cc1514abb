"""A network's first weights from a file, such as those that others trained on more images."""

from pathlib import Path

from torch import nn

from helper.checkpoint import read_checkpoint
from helper.errors import UserError
from models.checkpoint import refuse_other_files
from models.layouts import find_weights, with_counters, without_prefix
from models.tapped import bare


def initialise(network: nn.Module, name: str, path: Path) -> str:
    """Fill a network with the weights of a local .pth or .safetensors file; returns what to say of it.

    The classifier's are left out if, and only if, the file's are for another number of classes; all others
    have to fit by name and shape. Raises UserError where the file cannot be read, its weights are none of the
    network's, or are not finite.
    """
    content = read_checkpoint(path)
    refuse_other_files(content, path)
    inside = bare(network)
    own = inside.state_dict()
    _, weights = find_weights(content, path)
    weights, _ = without_prefix(weights, own, path)
    weights = with_counters(weights, own)
    left_out = _of_other_classes(network, inside, weights, own)
    kept = {key: value for key, value in weights.items() if key not in left_out}
    missing = [key for key in own if key not in weights]
    unknown = [key for key in kept if key not in own]
    differing = [key for key in kept if key in own and own[key].shape != kept[key].shape]
    if wrong := (*missing, *unknown, *differing):
        raise UserError(
            f"the first weights {path} do not fit {name}: {len(missing)} weights missing, {len(unknown)} "
            f"unknown, {len(differing)} of another shape (first: {wrong[0]}); give weights of this network"
        )
    if broken := [key for key, value in kept.items() if not bool(value.isfinite().all())]:
        raise UserError(f"{path} has weights that are not finite numbers (first: {broken[0]})")
    inside.load_state_dict(kept, strict=False)
    said = f"begins with the weights of {path}"
    return said + (f" but for {' and '.join(left_out)}, which are for other classes" if left_out else "")


def _of_other_classes(network: nn.Module, inside: nn.Module, weights: dict, own: dict) -> list[str]:
    """The names of the classifier's weights, if the file's are for another number of classes."""
    try:
        classifier = network.classifier
    except (UserError, AttributeError):
        return []
    path = next((key for key, module in inside.named_modules() if module is classifier), None)
    names = [key for key in own if key.startswith(f"{path}.") and key in weights]
    others = any(
        own[key].shape[1:] == weights[key].shape[1:] and len(own[key]) != len(weights[key]) for key in names
    )
    return names if others else []
