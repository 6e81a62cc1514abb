"""The classic offline methods, run on golden entries."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from distiller_zoo.ab import ABLoss, Connector
from distiller_zoo.at import ATLoss
from distiller_zoo.cc import CCLoss
from distiller_zoo.fsp import FSPLoss
from distiller_zoo.ft import FTLoss, Paraphraser, Translator
from distiller_zoo.hkd import HKDLoss
from distiller_zoo.irg import IRGLoss
from distiller_zoo.kdsvd import KDSVDLoss
from distiller_zoo.nst import NSTLoss
from distiller_zoo.ofd import OFDLoss, margin_of
from distiller_zoo.pkt import PKTLoss
from distiller_zoo.sp import SPLoss
from distiller_zoo.vid import VIDLoss
from tests.golden.cases import Case, load_published, make_inputs, measure
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


def _of_maps(make: Callable[[dict], nn.Module]) -> Case:
    """A case of a loss without weights of its own, of lists of maps, made from the entry's settings."""

    def case(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
        inputs, loss = make_inputs(entry, dtype), make(entry.get("settings") or {})
        maps_s, maps_t = _both(entry, inputs)
        return measure(entry, loss(maps_s, maps_t), inputs, loss.pairs(maps_s, maps_t))

    return case


def _of_batch(make: Callable[[dict], nn.Module]) -> Case:
    """A case of a loss without weights of its own, of one tensor of each network."""

    def case(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
        inputs = make_inputs(entry, dtype)
        (f_s,), (f_t,) = _both(entry, inputs)
        loss = make(entry.get("settings") or {})(f_s, f_t)
        return measure(entry, loss, inputs, [loss] if "parts" in entry else None)

    return case


def cc(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    (f_s,), (f_t,) = _both(entry, inputs)
    loss = CCLoss(f_s.shape[1], f_t.shape[1], entry["state"]["embed_s.linear.bias"][0])
    parameters = load_published(loss, entry, lambda key: key.replace(".linear", ""), dtype)
    return measure(entry, loss(f_s, f_t), inputs | parameters)


def vid(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    maps_s, maps_t = _both(entry, inputs)
    settings, state = entry["settings"], entry["state"]
    losses = nn.ModuleList(
        VIDLoss(
            s.shape[1],
            t.shape[1],
            mid_channels=state[f"{level}.regressor.0.weight"][0],
            init_pred_var=settings.get("init_pred_var", 5.0),
            eps=settings.get("eps", 1e-5),
        )
        for level, (s, t) in enumerate(zip(maps_s, maps_t, strict=False))
    )
    parameters = load_published(losses, entry, dtype=dtype)
    parts = [loss(s, t) for loss, s, t in zip(losses, maps_s, maps_t, strict=False)]
    return measure(entry, torch.stack(parts).sum(), inputs | parameters, parts)


def kdsvd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    maps_s, maps_t = _both(entry, inputs)
    over = "width" if "mdistiller" in str(entry.get("source")) else "channels"
    loss = KDSVDLoss(entry["settings"].get("k", 1), over)
    return measure(entry, loss(maps_s, maps_t), inputs, loss.pairs(maps_s, maps_t))


def ab(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    maps_s, maps_t = _both(entry, inputs)
    model = nn.Module()
    model.connectors = nn.ModuleList(Connector(s.shape, t.shape) for s, t in zip(maps_s, maps_t, strict=True))
    parameters = load_published(model, entry, dtype=dtype)
    loss = ABLoss(entry["settings"].get("margin", 1.0))
    values = [connector(s) for connector, s in zip(model.connectors, maps_s, strict=True)]
    return measure(entry, loss(values, maps_t), inputs | parameters, loss.pairs(values, maps_t))


def ft(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    maps_s, (map_t,) = _both(entry, inputs)
    settings = entry["settings"]
    factors = entry["state"]["paraphraser.encoder.6.weight"][0]
    model = nn.Module()
    model.paraphraser = Paraphraser(map_t.shape[1], factors)
    if maps_s:
        model.translator = Translator(maps_s[0].shape[1], factors)
    tensors = inputs | load_published(model, entry, _without_places_of_norms, dtype)
    if not maps_s:
        return measure(entry, model.paraphraser.loss(map_t), tensors)
    loss = FTLoss(settings.get("p1", 2), settings.get("p2", 1))
    value = loss(model.translator(maps_s[0]), model.paraphraser.encoder(map_t))
    return measure(entry, value, tensors)


def _without_places_of_norms(key: str) -> str:
    """Our key of a paraphraser's layer: the published one counts three places a layer, one of them empty."""
    if not key.startswith("paraphraser."):
        return key
    module, half, place, name = key.split(".")
    return f"{module}.{half}.{int(place) // 3 * 2}.{name}"


def irg(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs, settings = make_inputs(entry, dtype), entry["settings"]
    (f_s, *maps_s), (f_t, *maps_t) = _both(entry, inputs)
    edges = settings.get("edge_transform", True) and not settings.get("no_edge_transform", False)
    loss = IRGLoss(settings.get("w_graph", 1.0), settings.get("w_transform", 1.0), edges)
    return measure(entry, loss(f_s, f_t, maps_s, maps_t), inputs, loss.terms(f_s, f_t, maps_s, maps_t))


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


CASES: dict[str, Case] = {
    "at": _of_maps(lambda settings: ATLoss(p=settings.get("p", 2))),
    "sp": _of_batch(lambda settings: SPLoss()),
    "cc": cc,
    "vid": vid,
    "pkt": _of_batch(lambda settings: PKTLoss(eps=settings.get("eps", 1e-7))),
    "nst": _of_maps(lambda settings: NSTLoss()),
    "fsp": _of_maps(lambda settings: FSPLoss()),
    "kdsvd": kdsvd,
    "ab": ab,
    "ft": ft,
    "irg": irg,
    "hkd": _of_maps(lambda settings: HKDLoss(settings.get("init_weight", 100.0))),
    "ofd": ofd,
}
