"""Online knowledge: students that learn from each other through an ensemble."""

from modreduce.fc import FullyConnected
from modreduce.group import Group
from modreduce.one import Gate
from modreduce.online import OnlineMethod
from modreduce.pcl import PeerCollaborative
from modreduce.student import LossWeights, Student
from modreduce.teacher import Teacher
from modreduce.wavg import WeightedAverage

ensemble_dict: dict[str, type[OnlineMethod]] = {
    method.name: method for method in (WeightedAverage, Gate, FullyConnected, PeerCollaborative, OnlineMethod)
}

__all__ = ["Group", "LossWeights", "OnlineMethod", "Student", "Teacher", "ensemble_dict"]
