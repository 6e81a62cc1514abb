"""Offline knowledge: what a student can learn from a teacher, one method per file."""

from distiller_zoo.base import Distiller, Example
from distiller_zoo.catkd import CATKD, CATKDLoss
from distiller_zoo.crd import CRD, CRDLoss
from distiller_zoo.crld import CRLD, CRLDLoss
from distiller_zoo.ctkd import CTKD, CTKDDKD, CTKDDKDLoss, CTKDLoss
from distiller_zoo.dist import DIST, DISTLoss
from distiller_zoo.dkd import DKD, DKDLoss
from distiller_zoo.fitnet import FitNet, HintLoss
from distiller_zoo.itrd import ITRD, ITRDLoss
from distiller_zoo.kd import KD, DistillKL
from distiller_zoo.luminet import LumiNet, LumiNetLoss
from distiller_zoo.mlkd import MLKD, MLKDLoss
from distiller_zoo.nkd import NKD, NKDLoss
from distiller_zoo.rkd import RKD, RKDLoss
from distiller_zoo.rld import RLD, RLDLoss
from distiller_zoo.sdd import SDD, SDDKD, SDDKDLoss, SDKDLoss
from distiller_zoo.semckd import SemCKD, SemCKDLoss
from distiller_zoo.simkd import SimKD, SimKDLoss
from distiller_zoo.skd import SKD, SKDLoss
from distiller_zoo.ttm import TTM, TTMLoss
from distiller_zoo.wttm import WTTM, WTTMLoss

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
    "catkd": CATKD,
    "crld": CRLD,
    "dist": DIST,
    "itrd": ITRD,
    "luminet": LumiNet,
    "nkd": NKD,
    "rld": RLD,
    "skd": SKD,
    "ttm": TTM,
    "wttm": WTTM,
    "ctkd": CTKD,
    "ctkd_dkd": CTKDDKD,
    "sdd": SDD,
    "sdd_dkd": SDDKD,
}

__all__ = [
    "CATKDLoss",
    "CRDLoss",
    "CRLDLoss",
    "CTKDDKDLoss",
    "CTKDLoss",
    "DISTLoss",
    "DKDLoss",
    "DistillKL",
    "Distiller",
    "Example",
    "HintLoss",
    "ITRDLoss",
    "LumiNetLoss",
    "MLKDLoss",
    "NKDLoss",
    "RKDLoss",
    "RLDLoss",
    "SDDKDLoss",
    "SDKDLoss",
    "SKDLoss",
    "SemCKDLoss",
    "SimKDLoss",
    "TTMLoss",
    "WTTMLoss",
    "distiller_dict",
]
