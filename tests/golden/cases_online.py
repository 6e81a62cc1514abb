"""This project's online methods on golden entries: method name -> function(entry, dtype)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from distiller_zoo.kd import DistillKL
from modreduce.dml import DMLLoss
from modreduce.kdcl import TARGET_OF, mean_target
from modreduce.okddip import OKDDipLoss
from modreduce.schedule import consistency_weight
from tests.golden.cases import Case, load_published, make_inputs, measure
from tests.golden.cases_features import labels_of, numbered, probe_sum


def cross_entropies(logits: list[Tensor], labels: Tensor) -> Tensor:
    """The cross-entropy of each student (N,)."""
    return torch.stack([F.cross_entropy(z, labels) for z in logits])


def dml(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    logits = numbered(inputs, "peer")
    if "pairwise" in settings:
        form = "mean" if settings["pairwise"] else "logits"
        loss = DMLLoss(settings["T"], form, through_targets=True, epsilon=1e-7)
    else:
        loss = DMLLoss(settings.get("T", 1.0), "mean" if "T" in settings else "sum")
    ce, kl = cross_entropies(logits, labels_of(entry)), loss(logits)
    result = with_gradients(entry, (ce + kl).sum(), inputs, {"ce": ce.sum(), "kl": kl.sum()})
    return result | {"losses": (ce + kl).tolist()}


def kdcl(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    logits, labels = numbered(inputs, "peer"), labels_of(entry)
    if "target_norm" in entry:
        is_naive = entry["students_taught"] < len(logits)
        target = TARGET_OF["naive" if is_naive else "minlogit"](logits, labels)
        taught = sum(not torch.equal(z, target) for z in logits)
        norms = {"target_norm": float(target.double().norm()), "students_taught": taught}
        return {"loss": probe_sum(target), "grad_norms": [], "grad_sums": []} | norms
    target = mean_target(logits, labels).detach()
    kl = torch.stack([DistillKL(settings["T"])(z, target) for z in logits])
    losses = (1.0 - settings["alpha"]) * cross_entropies(logits, labels) + settings["alpha"] * kl
    return with_gradients(entry, losses.sum(), inputs) | {"losses": losses.tolist()}


def okddip(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    if "settings" not in entry:
        values = {epoch: consistency_weight(int(epoch)) for epoch in entry["values"]}
        return {"loss": values["40"], "grad_norms": [], "grad_sums": [], "values": values}
    settings, inputs = entry["settings"], make_inputs(entry, dtype)
    count = settings["peers"]
    logits = numbered(inputs, "peer")[: count + 1]
    embeddings = numbered(inputs, "peer_embed")[:count]
    loss = OKDDipLoss(settings["width"], settings["T"], settings["factor"])
    parameters = load_published(loss, entry, dtype=dtype)
    weight = settings["consistency_weight"]
    ce, kl = cross_entropies(logits, labels_of(entry)), weight * loss(logits, embeddings)
    parts = {"ce_of_peers": ce[:-1].sum(), "group_without_leader": kl[:-1].sum()}
    result = measure(entry, ce.sum() + kl.sum(), inputs | parameters, parts)
    return result | {"targets_probe": probe_sum(loss.targets(logits[:-1], embeddings))}


def with_gradients(
    entry: dict, loss: Tensor, inputs: dict[str, Tensor], parts: dict[str, Tensor] | None = None
) -> dict:
    """`measure`, also for an entry that asks for no gradient."""
    if not entry.get("wrt"):
        return {"loss": float(loss), "grad_norms": [], "grad_sums": []}
    return measure(entry, loss, inputs, parts)


CASES: dict[str, Case] = {"dml": dml, "kdcl": kdcl, "okddip": okddip}
