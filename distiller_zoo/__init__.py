"""Offline knowledge: what a student can learn from a teacher, one method per file.

`distiller_dict` names the methods; the losses can be imported from here by the field's names:

    from distiller_zoo import DistillKL, CRDLoss
"""

import importlib
from typing import Any

from helper.registry import Registry

distiller_dict = Registry(
    "distiller_zoo",
    {
        "kd": "kd:KD",
        "fitnet": "fitnet:FitNet",
        "hint": "fitnet:FitNet",
        "rkd": "rkd:RKD",
        "crd": "crd:CRD",
        "semckd": "semckd:SemCKD",
        "at": "at:AT",
        "sp": "sp:SP",
        "cc": "cc:CC",
        "vid": "vid:VID",
        "pkt": "pkt:PKT",
        "nst": "nst:NST",
        "fsp": "fsp:FSP",
        "kdsvd": "kdsvd:KDSVD",
        "ab": "ab:AB",
        "ft": "ft:FT",
        "irg": "irg:IRG",
        "hkd": "hkd:HKD",
        "ofd": "ofd:OFD",
        "dkd": "dkd:DKD",
        "simkd": "simkd:SimKD",
        "mlkd": "mlkd:MLKD",
        "catkd": "catkd:CATKD",
        "crld": "crld:CRLD",
        "dist": "dist:DIST",
        "itrd": "itrd:ITRD",
        "luminet": "luminet:LumiNet",
        "nkd": "nkd:NKD",
        "rld": "rld:RLD",
        "skd": "skd:SKD",
        "ttm": "ttm:TTM",
        "wttm": "wttm:WTTM",
        "ctkd": "ctkd:CTKD",
        "ctkd_dkd": "ctkd:CTKDDKD",
        "sdd": "sdd:SDD",
        "sdd_dkd": "sdd:SDDKD",
        "reviewkd": "reviewkd:ReviewKD",
        "srrl": "srrl:SRRL",
        "ickd": "ickd:ICKD",
        "norm": "norm:NORM",
        "srd": "srd:SRD",
        "wkd": "wkd:WKD",
        "mrd": "mrd:MRD",
    },
)


def __getattr__(name: str) -> Any:
    """A class of one of the methods' files, or of the contract: `Distiller`, `DistillKL`, `CRDLoss`, ..."""
    if not name.startswith("_"):
        for module in ("base", *distiller_dict.modules()):
            found = importlib.import_module(f"distiller_zoo.{module}")
            if getattr(getattr(found, name, None), "__module__", "") == found.__name__:
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
