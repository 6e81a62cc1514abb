"""This project's logit methods on golden entries: method name -> function(entry, dtype)."""

import json
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.catkd import CATKDLoss, class_activation_maps
from distiller_zoo.crld import CRLDLoss
from distiller_zoo.ctkd import CTKDDKDLoss, CTKDLoss, ascent
from distiller_zoo.dist import DISTLoss
from distiller_zoo.dkd import DKDLoss
from distiller_zoo.itrd import ITRDLoss
from distiller_zoo.kd import DistillKL
from distiller_zoo.luminet import LumiNetLoss
from distiller_zoo.mlkd import MLKDLoss, batch_correlation, class_correlation
from distiller_zoo.nkd import NKDLoss
from distiller_zoo.rld import RLDLoss
from distiller_zoo.sdd import SDDKDLoss, SDKDLoss, region_logits
from distiller_zoo.simkd import SimKDLoss
from distiller_zoo.skd import SKDLoss, direction_loss
from distiller_zoo.ttm import TTMLoss
from distiller_zoo.wttm import WTTMLoss
from models.reused import ReusedClassifier
from tests.golden.cases import Case, load_published, make_inputs, measure
from tests.golden.formula import fill, tensor


def labels_of(entry: dict) -> Tensor:
    """The entry's labels (B,)."""
    return torch.tensor(entry["settings"]["labels"])


def is_standardised(entry: dict) -> bool:
    """Whether the entry was measured on the code of "Logit Standardization"."""
    settings = entry["settings"]
    return settings.get("logit_standardisation", "logit-standardization" in entry["source"][0])


def ramp(settings: dict) -> float:
    """The factor of a warm-up whose epochs count from 1."""
    return min(settings.get("epoch", 1) / settings.get("warmup", 1), 1.0)


def with_cross_entropy(entry: dict, inputs: dict[str, Tensor], loss: Tensor) -> dict:
    """The numbers of ce_weight * CE + loss, or of the loss alone where the entry has no CE."""
    weight = entry["settings"].get("ce_weight", 0.0)
    if not weight:
        return measure(entry, loss, inputs)
    parts = {"loss_ce": weight * F.cross_entropy(inputs["logits_student"], labels_of(entry)), "loss_kd": loss}
    result = measure(entry, parts["loss_ce"] + loss, inputs, parts)
    return result | {key: result["parts"][key] for key in parts if key in entry}


def kd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    loss = DistillKL(settings["T"], is_standardised(entry))
    value = loss(inputs["logits_student"], inputs["logits_teacher"])
    return with_cross_entropy(entry, inputs, settings.get("kd_weight", 1.0) * value)


def dkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    loss = DKDLoss(settings["alpha"], settings["beta"], settings["T"], is_standardised(entry))
    logits = inputs["logits_student"], inputs["logits_teacher"]
    value = loss(*logits, labels_of(entry))
    result = with_cross_entropy(entry, inputs, ramp(settings) * value)
    for name, alpha, beta in (("tckd", 1.0, 0.0), ("nckd", 0.0, 1.0)):
        part = DKDLoss(alpha, beta, settings["T"], is_standardised(entry))
        result[name] = float(part(*logits, labels_of(entry)).detach())
    return result


def probe(value: Tensor) -> float:
    """The sum of a tensor times the probe of its shape, in float64."""
    return float((value.detach().double() * tensor("probe", tuple(value.shape)).double()).sum())


def simkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    f_s, f_t = inputs["map_student2"], inputs["map_teacher2"]
    classifier = fill(nn.Linear(f_t.shape[1], 100)).to(dtype)
    network = ReusedClassifier(nn.Identity(), classifier, f_s.shape[1], None, settings["factor"])
    parameters = load_published(network.transfer, entry, lambda key: key.removeprefix("transfer."), dtype)
    _, projected = network.project(f_s, f_t.shape[2:])
    result = measure(entry, SimKDLoss()(projected, f_t), inputs | parameters)
    logits = classifier(projected.mean(dim=(2, 3)))
    result["logits_probe"] = probe(logits)
    result["logits_cross_entropy"] = float(F.cross_entropy(logits, torch.tensor(entry["labels"])).detach())
    network.transfer.eval()
    evaluated = classifier(network.project(f_s, f_t.shape[2:])[1].mean(dim=(2, 3)))
    result["eval_logits_probe_after_one_step"] = probe(evaluated)
    return result


def mlkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    logits = inputs["logits_student"], inputs["logits_teacher"]
    if "labels" not in settings:
        of_classes = "class" in entry["note"]
        return measure(
            entry, (class_correlation if of_classes else batch_correlation)(*logits, settings["T"]), inputs
        )
    strong = inputs["logits_student_strong"], inputs["logits_teacher_strong"]
    terms = MLKDLoss(settings["T"], is_standardised(entry))(*logits, *strong)
    labels = labels_of(entry)
    entropies = F.cross_entropy(logits[0], labels) + F.cross_entropy(strong[0], labels)
    parts = {"loss_ce": settings["ce_weight"] * entropies}
    names = {"loss_kd": "instances", "loss_cc": "classes", "loss_bc": "batch"}
    parts |= {part: settings["kd_weight"] * terms[name] for part, name in names.items()}
    return measure(entry, sum(parts.values()), inputs, parts)


def dist(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    loss = DISTLoss(settings["beta"], settings["gamma"], settings["tau"])
    return measure(entry, loss(inputs["logits_student"], inputs["logits_teacher"]), inputs)


def ttm(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    loss = TTMLoss(entry["settings"]["exponent"])
    return measure(entry, loss(inputs["logits_student"], inputs["logits_teacher"]), inputs)


def wttm(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    inputs = make_inputs(entry, dtype)
    loss = WTTMLoss(entry["settings"]["exponent"])
    return measure(entry, loss(inputs["logits_student"], inputs["logits_teacher"]), inputs)


def luminet(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    value = LumiNetLoss(settings["alpha"], settings["T"])(inputs["logits_student"], inputs["logits_teacher"])
    return with_cross_entropy(entry, inputs, ramp(settings) * value)


def itrd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    f_s, f_t = inputs["embed_student"], inputs["embed_teacher"]
    loss = ITRDLoss(f_s.shape[1], f_t.shape[1], settings["alpha"])
    parameters = load_published(loss, entry, lambda key: key.replace(".linear", ""), dtype)
    parts = loss(f_s, f_t)
    value = settings["lambda_corr"] * parts["correlation"] + settings["lambda_mutual"] * parts["mutual"]
    return measure(entry, value, inputs | parameters, parts)


def nkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    loss = NKDLoss(settings["temp"], settings["gamma"])
    value = loss(inputs["logits_student"], inputs["logits_teacher"], labels_of(entry))
    return measure(entry, value, inputs)


def rld(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    loss = RLDLoss(settings["alpha"], settings["beta"], settings["T"], settings["alpha_T"])
    value = loss(inputs["logits_student"], inputs["logits_teacher"], labels_of(entry))
    return with_cross_entropy(entry, inputs, ramp(settings) * value)


def changed_teacher(entry: dict, z_t: Tensor) -> Tensor:
    """The teacher's logits with what the entry says is added to one class of every second row."""
    change = re.match(r"([\d.]+) added to class (\d+)", entry["settings"].get("teacher_change", ""))
    if change:
        z_t = z_t.clone()
        z_t[::2, int(change[2])] += float(change[1])
    return z_t


def crld(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    z_s, z_s_strong = inputs["logits_student"], inputs["logits_student_strong"]
    z_t, z_t_strong = (changed_teacher(entry, inputs[f"logits_teacher{view}"]) for view in ("", "_strong"))
    loss = CRLDLoss(settings["T"], settings["tau_weak"], settings["tau_strong"])
    terms = loss(z_s, z_t, z_s_strong, z_t_strong)
    labels = labels_of(entry)
    entropies = F.cross_entropy(z_s, labels) + F.cross_entropy(z_s_strong, labels)
    parts = {
        "loss_ce": settings["ce_weight"] * entropies,
        "loss_kd": settings["within_view"] * terms["within"] + settings["cross_view"] * terms["across"],
    }
    return measure(entry, sum(parts.values()), inputs, parts)


def skd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    logits = inputs["logits_student"], inputs["logits_teacher"]
    if "labels" not in settings:
        return measure(entry, direction_loss(*logits, settings["tikhonov"]), inputs)
    terms = SKDLoss(settings["T"], settings["tikhonov"])(*logits)
    parts = {
        "loss_ce": settings["ce_weight"] * F.cross_entropy(logits[0], labels_of(entry)),
        "loss_kd": settings["kd_weight"] * terms["logits"],
        "loss_bc": settings["kd_weight"] * terms["direction"],
    }
    return measure(entry, sum(parts.values()), inputs, parts)


def ctkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    if "values" in entry:
        values = {epoch: ascent(int(epoch), 10) for epoch in entry["values"]}
        return {"loss": ascent(5, 10), "grad_norms": [], "grad_sums": [], "values": values}
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    logits, labels = (inputs["logits_student"], inputs["logits_teacher"]), labels_of(entry)
    span = settings["t_start"], settings["t_end"]
    if settings["method"] == "kd":
        loss = CTKDLoss(*span).to(dtype)
    else:
        loss = CTKDDKDLoss(settings["dkd_alpha"], settings["dkd_beta"], *span).to(dtype)
    loss.temperature.global_T.data.fill_(settings["global_T"])
    loss.temperature.strength.fill_(ascent(settings["epoch"], settings["decay_loops"]))
    is_kd = settings["method"] == "kd"
    value = settings["kd_weight"] * loss(*logits) if is_kd else settings["dkd_weight"] * loss(*logits, labels)
    total = settings["ce_weight"] * F.cross_entropy(logits[0], labels) + value
    result = measure(entry, total, inputs | {"global_T": loss.temperature.global_T})
    return result | {"temperature": float(loss.temperature().detach())}


def sdd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    f_s, f_t = inputs["map_student2"], inputs["map_teacher2"]
    scales, labels = json.loads(settings["M"]), labels_of(entry)
    classes = entry["state"]["fc.weight"][0]
    own, teacher = (nn.Linear(f.shape[1], classes) for f in (f_s, f_t))
    parameters = load_published(own, entry, lambda key: key.removeprefix("fc."), dtype)
    fill(nn.ModuleDict({"fc": teacher})).to(dtype)
    if "kd" in settings:
        kind = settings["kd"]
        loss, weight, ce_weight = SDKDLoss(kind["TEMPERATURE"], scales), kind["KD_WEIGHT"], kind["CE_WEIGHT"]
    else:
        kind = settings["dkd"]
        loss = SDDKDLoss(kind["ALPHA"], kind["BETA"], kind["T"], scales)
        weight, ce_weight = ramp(settings), kind.get("CE_WEIGHT", 1.0)
    entropy = ce_weight * F.cross_entropy(own(f_s.mean(dim=(2, 3))), labels)
    result = measure(entry, weight * loss(f_s, f_t, own, teacher, labels), inputs | parameters)
    regions = [region_logits(f, layer, scales).transpose(1, 2) for f, layer in ((f_s, own), (f_t, teacher))]
    result["student_patch_probe"], result["teacher_patch_probe"] = map(probe, regions)
    return result | {"loss_ce": float(entropy.detach())}


def catkd(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    if "map_student2" in inputs:
        f_s = inputs["map_student2"]
        layer = nn.Linear(f_s.shape[1], entry["state"]["conv_test.weight"][0], bias=False)
        parameters = load_published(layer, entry, lambda key: key.removeprefix("conv_test."), dtype)
        cam = class_activation_maps(f_s, layer)
        logits = cam.mean(dim=(2, 3))
        value = (logits * tensor("probe", tuple(logits.shape)).to(dtype)).sum()
        return measure(entry, value, inputs | parameters) | {"cam_probe": probe(cam)}
    cam_s, cam_t = inputs["cam_student"], inputs["cam_teacher"]
    entropy = F.cross_entropy(cam_s.mean(dim=(2, 3)), labels_of(entry))
    loss = CATKDLoss(settings["cam_resolution"], settings["normalize"])
    parts = {
        "loss_CE": settings["ce_weight"] * entropy,
        "loss_CAT": settings["beta"] * loss(cam_s, cam_t),
    }
    return measure(entry, sum(parts.values()), inputs, parts)


CASES: dict[str, Case] = {
    method.__name__: method
    for method in (
        kd,
        dkd,
        simkd,
        mlkd,
        dist,
        ttm,
        wttm,
        luminet,
        itrd,
        nkd,
        rld,
        crld,
        skd,
        ctkd,
        sdd,
        catkd,
    )
}
