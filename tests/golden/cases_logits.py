"""This project's logit methods on golden entries: method name -> function(entry, dtype)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.dkd import DKDLoss
from distiller_zoo.kd import DistillKL
from distiller_zoo.mlkd import MLKDLoss, batch_correlation, class_correlation
from distiller_zoo.simkd import SimKDLoss
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
    network = ReusedClassifier(nn.Identity(), classifier, f_s.shape[1], {}, settings["factor"])
    parameters = load_published(network.transfer, entry, lambda key: key.removeprefix("transfer."), dtype)
    _, projected = network.project(f_s, f_t.shape[-1])
    result = measure(entry, SimKDLoss()(projected, f_t), inputs | parameters)
    logits = classifier(projected.mean(dim=(2, 3)))
    result["logits_probe"] = probe(logits)
    result["logits_cross_entropy"] = float(F.cross_entropy(logits, torch.tensor(entry["labels"])).detach())
    network.transfer.eval()
    evaluated = classifier(network.project(f_s, f_t.shape[-1])[1].mean(dim=(2, 3)))
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
    parts |= {f"loss_{name}": settings["kd_weight"] * term for name, term in terms.items()}
    return measure(entry, sum(parts.values()), inputs, parts)


CASES: dict[str, Case] = {"kd": kd, "dkd": dkd, "simkd": simkd, "mlkd": mlkd}
