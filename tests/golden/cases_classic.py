"""The classic offline methods, run on golden entries."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from distiller_zoo.fsp import FSPLoss
from distiller_zoo.ofd import OFDLoss, margin_of
from tests.golden.cases import load_published, make_inputs, measure
from tests.golden.formula import tensor


def _both(entry: dict, inputs: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The student's and the teacher's inputs, in order."""
    if "student" in entry:
        return [inputs[name] for name in entry["student"]], [inputs[name] for name in entry["teacher"]]
    maps = {name: value for name, value in inputs.items() if value.dim() == 4}
    return (
        [value for name, value in maps.items() if "student" in name],
        [value for name, value in maps.items() if "teacher" in name],
    )


def fsp(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    maps_s, maps_t = _both(entry, inputs)
    return measure(entry, FSPLoss()(maps_s, maps_t), inputs, FSPLoss().pairs(maps_s, maps_t))


def ofd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    maps_s, maps_t = _both(entry, inputs)
    margins = [margin_of(norm) for norm in _norms(inputs)]
    loss = OFDLoss([m.shape[1] for m in maps_s], margins)
    parameters = load_published(loss.connectors, entry, lambda key: key.removeprefix("connectors."), dtype)
    value = loss.to(dtype)(maps_s, maps_t) * entry["settings"].get("weight", 1.0)
    result = measure(entry, value, inputs | parameters)
    probes = [(m.double() * tensor("probe", (1, len(m), 1, 1)).double().flatten()).sum() for m in margins]
    return result | {"margins": [float(p) for p in probes], "margin0": margins[0].tolist()}


def _norms(inputs: dict[str, Tensor]) -> Iterable[nn.BatchNorm2d]:
    for name, weight in inputs.items():
        if name.startswith("bn") and name.endswith(".weight"):
            norm = nn.BatchNorm2d(len(weight))
            norm.weight = nn.Parameter(weight)
            norm.bias = nn.Parameter(inputs[name.removesuffix("weight") + "bias"])
            yield norm


CASES = {"fsp": fsp, "ofd": ofd}
