"""The literal form of each offline method's loss, by the method's name in `distiller_dict`.

What a form is stands in `literal_maps` and `literal_relations`; CRD and SemCKD have theirs in
`literal_losses`, as modules.
"""

from collections.abc import Callable

from torch import Tensor

from benchmarks import literal_maps as maps
from benchmarks import literal_relations as relations
from distiller_zoo.base import Distiller
from helper.batch import Batch, Output

LITERAL: dict[str, Callable[[Distiller, Output, Output, Batch], Tensor]] = {
    "kd": relations.kd,
    "fitnet": maps.fitnet,
    "rkd": relations.rkd,
    "at": maps.at,
    "sp": relations.sp,
    "cc": relations.cc,
    "vid": maps.vid,
    "pkt": relations.pkt,
    "nst": maps.nst,
    "fsp": maps.fsp,
    "kdsvd": maps.kdsvd,
    "ab": maps.ab,
    "ft": maps.ft,
    "irg": relations.irg,
    "hkd": relations.hkd,
    "ofd": maps.ofd,
    "simkd": maps.simkd,
    "reviewkd": maps.reviewkd,
    "srrl": relations.srrl,
    "ickd": maps.ickd,
    "norm": maps.norm,
    "srd": relations.srd,
}
# Their loss in the run is 0; the form is that of the stage before it, `method.pretrain`.
PRETRAINED = ("ab", "fsp")
