"""Offline knowledge: what a student can learn from a teacher, one method per file."""

from distiller_zoo.base import Distiller, Example
from distiller_zoo.crd import CRD, CRDLoss
from distiller_zoo.dkd import DKD, DKDLoss
from distiller_zoo.fitnet import FitNet, HintLoss
from distiller_zoo.kd import KD, DistillKL
from distiller_zoo.mlkd import MLKD, MLKDLoss
from distiller_zoo.rkd import RKD, RKDLoss
from distiller_zoo.semckd import SemCKD, SemCKDLoss
from distiller_zoo.simkd import SimKD, SimKDLoss

distiller_dict: dict[str, type[Distiller]] = {
    "kd": KD,
    "fitnet": FitNet,
    "hint": FitNet,
    "rkd": RKD,
    "crd": CRD,
    "semckd": SemCKD,
    "dkd": DKD,
    "simkd": SimKD,
    "mlkd": MLKD,
}

__all__ = [
    "CRDLoss",
    "DKDLoss",
    "DistillKL",
    "Distiller",
    "Example",
    "HintLoss",
    "MLKDLoss",
    "RKDLoss",
    "SemCKDLoss",
    "SimKDLoss",
    "distiller_dict",
]
