"""Offline knowledge: what a student can learn from a teacher, one method per file."""

from distiller_zoo.ab import AB, ABLoss
from distiller_zoo.at import AT, ATLoss
from distiller_zoo.base import Distiller, Example
from distiller_zoo.cc import CC, CCLoss
from distiller_zoo.crd import CRD, CRDLoss
from distiller_zoo.fitnet import FitNet, HintLoss
from distiller_zoo.fsp import FSP, FSPLoss
from distiller_zoo.ft import FT, FTLoss
from distiller_zoo.hkd import HKD, HKDLoss
from distiller_zoo.irg import IRG, IRGLoss
from distiller_zoo.kd import KD, DistillKL
from distiller_zoo.kdsvd import KDSVD, KDSVDLoss
from distiller_zoo.nst import NST, NSTLoss
from distiller_zoo.ofd import OFD, OFDLoss
from distiller_zoo.pkt import PKT, PKTLoss
from distiller_zoo.rkd import RKD, RKDLoss
from distiller_zoo.semckd import SemCKD, SemCKDLoss
from distiller_zoo.sp import SP, SPLoss
from distiller_zoo.vid import VID, VIDLoss

distiller_dict: dict[str, type[Distiller]] = {
    "kd": KD,
    "fitnet": FitNet,
    "hint": FitNet,
    "rkd": RKD,
    "crd": CRD,
    "semckd": SemCKD,
    "fsp": FSP,
    "ofd": OFD,
    "at": AT,
    "sp": SP,
    "cc": CC,
    "vid": VID,
    "pkt": PKT,
    "nst": NST,
    "kdsvd": KDSVD,
    "ab": AB,
    "ft": FT,
    "irg": IRG,
    "hkd": HKD,
}

__all__ = [
    "ABLoss",
    "ATLoss",
    "CCLoss",
    "CRDLoss",
    "DistillKL",
    "Distiller",
    "Example",
    "FSPLoss",
    "FTLoss",
    "HKDLoss",
    "HintLoss",
    "IRGLoss",
    "KDSVDLoss",
    "NSTLoss",
    "OFDLoss",
    "PKTLoss",
    "RKDLoss",
    "SPLoss",
    "SemCKDLoss",
    "VIDLoss",
    "distiller_dict",
]
