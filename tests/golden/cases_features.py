"""This project's feature methods of 2021 to 2025 on golden entries: method name -> function(entry, dtype)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from distiller_zoo.reviewkd import HCLLoss, ReviewKDLoss
from tests.golden.cases import Case, load_published, make_inputs, measure
from tests.golden.formula import tensor


def numbered(values: Mapping[str, Tensor], word: str) -> list[Tensor]:
    """The inputs whose name has a word with a number behind it, in the order of the numbers."""
    named = [(name.rpartition(word)[2], value) for name, value in values.items() if word in name]
    return [value for number, value in sorted((int(n), v) for n, v in named if n.isdigit())]


def only(values: Mapping[str, Tensor], *words: str) -> Tensor:
    """The one input whose name has all these words."""
    (found,) = [value for name, value in values.items() if all(word in name for word in words)]
    return found


def labels_of(entry: dict) -> Tensor:
    """The entry's labels (B,)."""
    return torch.tensor(entry["settings"]["labels"])


def reviewkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    if not isinstance(entry["settings"], dict) or "state" not in entry:
        values = list(inputs.values())
        parts = [HCLLoss()(s, t) for s, t in zip(values[::2], values[1::2], strict=True)]
        return measure(entry, torch.stack(parts).sum(), inputs, parts)
    settings = entry["settings"]
    maps_s, maps_t = numbered(inputs, "map_student"), numbered(inputs, "map_teacher")
    f_s = [only(inputs, "embed_student")[:, :, None, None], *reversed(maps_s)]
    f_t = [only(inputs, "embed_teacher")[:, :, None, None], *reversed(maps_t)]
    loss = ReviewKDLoss([m.shape[1] for m in f_s], [m.shape[1] for m in f_t], settings.get("mid_channel"))
    parameters = load_published(loss.blocks, entry, dtype=dtype)
    value = loss(f_s, f_t) * settings["weight"] * min(settings["epoch"] / settings["warmup"], 1.0)
    result = measure(entry, value, inputs | parameters)
    buffers = loss.blocks.state_dict()
    return result | {"buffers": {key: probe_sum(buffers[key]) for key in entry.get("buffers", ())}}


def probe_sum(value: Tensor) -> float:
    """The sum of a tensor times the probe, in float64."""
    return float((value.detach().double() * tensor("probe", tuple(value.shape)).double()).sum())


CASES: dict[str, Case] = {"reviewkd": reviewkd}
