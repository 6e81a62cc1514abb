"""Offline knowledge: what a student can learn from a teacher, one method per file."""

from distiller_zoo.base import Distiller, Example
from distiller_zoo.crd import CRD, CRDLoss
from distiller_zoo.fitnet import FitNet, HintLoss
from distiller_zoo.fsp import FSP, FSPLoss
from distiller_zoo.kd import KD, DistillKL
from distiller_zoo.ofd import OFD, OFDLoss
from distiller_zoo.rkd import RKD, RKDLoss
from distiller_zoo.semckd import SemCKD, SemCKDLoss

distiller_dict: dict[str, type[Distiller]] = {
    "kd": KD,
    "fitnet": FitNet,
    "hint": FitNet,
    "rkd": RKD,
    "crd": CRD,
    "semckd": SemCKD,
    "fsp": FSP,
    "ofd": OFD,
}

__all__ = [
    "CRDLoss",
    "DistillKL",
    "Distiller",
    "Example",
    "FSPLoss",
    "HintLoss",
    "OFDLoss",
    "RKDLoss",
    "SemCKDLoss",
    "distiller_dict",
]
