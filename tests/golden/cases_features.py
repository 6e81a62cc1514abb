"""This project's feature methods of 2021 to 2025 on golden entries: method name -> function(entry, dtype)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.ickd import ICKDLoss
from distiller_zoo.kd import DistillKL
from distiller_zoo.mrd import MRDLoss
from distiller_zoo.norm import NORMLoss, schedule
from distiller_zoo.reviewkd import HCLLoss, ReviewKDLoss
from distiller_zoo.srd import SRDLoss
from distiller_zoo.srrl import SRRLLoss
from distiller_zoo.wkd import WKDFeatureLoss, WKDLogitLoss, cka_distance, decay
from engine.dot import DOT
from models.many_to_one import NORMHead, fixed_norm
from tests.golden.cases import Case, gradient_numbers, load_published, make_inputs, measure
from tests.golden.formula import fill, tensor


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


def srd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    settings = entry["settings"]
    is_correlation = "embed_student" in "".join(inputs)
    if is_correlation:
        f_s, f_t = only(inputs, "embed_student"), only(inputs, "embed_teacher")
        loss = SRDLoss(f_s.shape[1], f_t.shape[1], "correlation")
    else:
        f_s, f_t = (only(inputs, "map", side).mean((2, 3)) for side in ("student", "teacher"))
        loss = SRDLoss(f_s.shape[1], f_t.shape[1], power=settings["power"], epsilon=settings["bn_eps"])
    parameters = load_published(loss, entry, lambda key: None if key.startswith("bn_") else key, dtype)
    representation = loss(f_s, f_t)
    if is_correlation:
        return measure(entry, representation, inputs | parameters)
    kd = DistillKL(settings["kd_T"])(only(inputs, "logits", "student"), only(inputs, "logits", "teacher"))
    total = settings["weight_representation"] * representation + kd
    return measure(entry, total, inputs | parameters, {"representation_unweighted": representation})


def srrl(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    f_s, f_t = only(inputs, "embed_student"), only(inputs, "embed_teacher")
    z_t = only(inputs, "logits_teacher")
    classifier = fill(nn.Linear(f_t.shape[1], z_t.shape[1]))
    loss = SRRLLoss(f_s.shape[1], classifier)
    parameters = load_published(loss, entry, dtype=dtype)
    parts = loss(f_s, f_t, z_t)
    return measure(entry, sum(parts.values()), inputs | parameters, parts)


def ickd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    f_s, f_t = only(inputs, "student"), only(inputs, "teacher")
    loss = ICKDLoss(f_s.shape[1], f_t.shape[1])
    own_names = {"embed_s.conv2d": "conv", "embed_s.l2norm": "norm"}

    def own_name(key: str) -> str | None:
        layer, _, kind = key.rpartition(".")
        return f"{own_names[layer]}.{kind}" if layer in own_names else None

    parameters = load_published(loss, entry, own_name, dtype)
    return measure(entry, loss(f_s, f_t), inputs | parameters)


def mrd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    z_s, z_t = only(inputs, "student"), only(inputs, "teacher")
    if "settings" not in entry:
        return measure(entry, MRDLoss()(z_s, z_t)["similarity"], inputs)
    loss = MRDLoss(entry["settings"]["beta"])
    parts = {"rows": loss.kendall(z_s, z_t), "columns": loss.kendall(z_s.T, z_t.T)}
    return measure(entry, loss(z_s, z_t)["kendall"], inputs, parts)


def wkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    if "settings" not in entry:
        x, noise = tensor("cka_x", (20, 12)), tensor("cka_y", (20, 12), std=2.0)
        loss = cka_distance(x.to(dtype), (noise + x / 2).to(dtype))
        return {"loss": float(loss), "grad_norms": [], "grad_sums": [], "centred_both_sides": float(loss)}
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    factor = decay(settings["epoch"], settings["epochs"], settings["decay_start"])
    z_s, z_t = only(inputs, "logits_student"), only(inputs, "logits_teacher")
    losses, parameters = [], {}
    if settings["wkd_logit_weight"]:
        cost = only(inputs, "cost_matrix")
        cost = (cost + cost.T) / 2 * (1.0 - torch.eye(len(cost), dtype=dtype))
        loss = WKDLogitLoss(
            cost,
            settings["T"],
            settings["sinkhorn_regularisation"],
            settings["sinkhorn_iterations"],
            settings["sharpen"],
        )
        both = loss(z_s, z_t, labels_of(entry))
        losses.append(both["target"] + settings["wkd_logit_weight"] * factor * both["transport"])
    if settings["wkd_feature_weight"]:
        f_s, f_t = only(inputs, "map_student"), only(inputs, "map_teacher")
        loss = WKDFeatureLoss(
            tuple(f_s.shape),
            tuple(f_t.shape),
            settings["mean_over_std_weight"],
            settings["grid"],
            settings["eps"],
        )
        parameters = load_published(loss.regressor, entry, dtype=dtype)
        losses.append(settings["wkd_feature_weight"] * factor * loss(f_s, f_t))
    result = measure(entry, torch.stack(losses).sum(), inputs | parameters)
    return result | {"loss_ce": float(F.cross_entropy(z_s, labels_of(entry)).detach())}


def norm(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    if "settings" not in entry:
        values = {epoch: schedule(int(epoch)) for epoch in entry["values"]}
        return {"loss": max(values.values()), "grad_norms": [], "grad_sums": [], "values": values}
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    f_s, f_t = only(inputs, "map_student"), only(inputs, "map_teacher")
    z_t = only(inputs, "logits_teacher")
    student = nn.ModuleDict(
        {
            "head": NORMHead(f_s.shape[1], f_t.shape[1], settings["N"]),
            "fc": nn.Linear(f_s.shape[1], z_t.shape[1]),
        }
    )
    own_names = {"layer31": "head.expand", "layer32": "head.contract", "fc": "fc"}

    def own_name(key: str) -> str | None:
        layer, _, rest = key.partition(".")
        return f"{own_names[layer]}.{rest}" if layer in own_names else None

    parameters = load_published(student, entry, own_name, dtype)
    expanded, residual = student["head"](f_s)
    scale = settings["logit_scale"]
    logits = fixed_norm(student["fc"]((f_s + residual).mean((2, 3))), scale)
    parts = {"ce": F.cross_entropy(logits, labels_of(entry)), "norm": NORMLoss()(expanded, f_t)}
    total = settings["ce_weight"] * parts["ce"]
    total = total + settings["kd_weight"] * DistillKL(settings["kd_T"])(logits, fixed_norm(z_t, scale))
    total = total + settings["norm_weight"] * settings["schedule_factor"] * parts["norm"]
    return measure(entry, total, inputs | parameters, parts)


def dot(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    prefix = settings["prefix"]
    parameters = {name: nn.Parameter(inputs[prefix + name]) for name in settings["shapes"]}
    optimizer = DOT(
        list(parameters.values()),
        settings["lr"],
        settings["momentum"],
        settings["delta"],
        settings["weight_decay"],
    )
    after_step = []
    for step in range(settings["steps"]):
        for name, parameter in parameters.items():
            parameter.grad = inputs.get(f"{prefix}kd_grad{step}_{name}")
        optimizer.keep_distillation()
        for name, parameter in parameters.items():
            parameter.grad = inputs.get(f"{prefix}task_grad{step}_{name}")
        optimizer.step()
        optimizer.zero_grad()
        after_step.append({name: list(gradient_numbers(p)) for name, p in parameters.items()})
    loss = after_step[-1][next(iter(parameters))][1]
    return {"loss": loss, "grad_norms": [], "grad_sums": [], "after_step": after_step}


CASES: dict[str, Case] = {
    "reviewkd": reviewkd,
    "srd": srd,
    "srrl": srrl,
    "ickd": ickd,
    "mrd": mrd,
    "wkd": wkd,
    "norm": norm,
    "dot": dot,
}
