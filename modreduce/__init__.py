"""Online knowledge: students that learn from each other through an ensemble."""

import argparse

from helper.errors import UserError
from modreduce.fc import FullyConnected
from modreduce.fused import FusedEnsemble
from modreduce.group import Group
from modreduce.one import Gate
from modreduce.online import OnlineMethod
from modreduce.pcl import PeerCollaborative
from modreduce.student import LossWeights, Student, Teacher
from modreduce.wavg import WeightedAverage

ensemble_dict: dict[str, type[OnlineMethod]] = {
    method.name: method for method in (WeightedAverage, Gate, FullyConnected, PeerCollaborative, OnlineMethod)
}

__all__ = ["Group", "LossWeights", "OnlineMethod", "Student", "Teacher", "ensemble_dict", "load_ensemble"]


def load_ensemble(content: dict, where: str, students: int, num_classes: int) -> FusedEnsemble:
    """The ensemble of a run's ensemble_last.pth; UserError if it is none, or of other students or classes."""
    kind = ensemble_dict.get(str(content.get("online")))
    whole = content.keys() >= {"students", "num_classes", "state"}
    if kind is None or not issubclass(kind, FusedEnsemble) or not whole:
        raise UserError(
            f"{where} holds no ensemble that can fuse networks (its method: {content.get('online')}): give "
            "a run's ensemble_last.pth, or leave --ensemble out to fuse by the mean"
        )
    names, classes = content["students"], content["num_classes"]
    if len(names) != students or classes != num_classes:
        raise UserError(
            f"{where} fuses {len(names)} students ({', '.join(names)}) of {classes} classes: give "
            "--path these "
            f"{len(names)}, in this order, and a data set of {classes} classes (given: {students}, "
            f"{num_classes})"
        )
    settings = argparse.Namespace(kd_T=1.0, online_start=0, online_weight=0.0, online_weight_start=1.0)
    ensemble = kind([None] * students, num_classes, settings)
    try:
        ensemble.load_state_dict(content["state"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where} holds weights that do not fit {kind.name} with {students} students and {num_classes} "
            "classes: give a run's own ensemble_last.pth"
        ) from error
    return ensemble.eval()
