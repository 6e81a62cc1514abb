"""The published numbers of the fifteen experiments: CIFAR-100 top-1 accuracy on the test set, in percent.

Experiments 1-5: CRD paper, similar architectures; 6-8: CRD paper, different architectures; 9-11: both papers;
12-15: SemCKD paper. ModReduce: the best of the three students of one run, best epoch on the test set.
"""

from typing import NamedTuple


class Experiment(NamedTuple):
    """One pair of networks and what was published for it."""

    number: int
    teacher: str
    student: str
    teacher_accuracy: float
    alone: float
    kd: float
    semckd: float
    crd: float
    modreduce: float

    @property
    def folder(self) -> str:
        """The name of its script and of its folder of results."""
        return f"{self.number:02d}_{self.teacher}_{self.student}"


EXPERIMENTS = tuple(
    Experiment(number, *values)
    for number, values in enumerate(
        (
            ("wrn_40_2", "wrn_16_2", 75.61, 73.26, 75.39, 75.10, 76.12, 75.44),
            ("wrn_40_2", "wrn_40_1", 75.61, 71.98, 74.21, 73.11, 74.91, 74.84),
            ("resnet56", "resnet20", 72.34, 69.06, 71.70, 70.91, 71.72, 71.99),
            ("resnet110", "resnet20", 74.31, 69.06, 70.99, 70.95, 71.35, 72.01),
            ("resnet110", "resnet32", 74.31, 71.14, 73.66, 73.47, 73.65, 74.34),
            ("vgg13", "MobileNetV2", 74.64, 64.60, 68.72, 68.66, 69.66, 69.23),
            ("resnet32x4", "ShuffleV1", 79.42, 70.50, 74.59, 77.21, 75.77, 76.96),
            ("wrn_40_2", "ShuffleV1", 75.61, 70.50, 75.45, 76.93, 76.59, 77.14),
            ("resnet32x4", "resnet8x4", 79.42, 73.09, 74.32, 75.55, 74.97, 75.78),
            ("vgg13", "vgg8", 74.64, 70.46, 73.62, 74.08, 74.39, 74.64),
            ("resnet32x4", "ShuffleV2", 79.42, 72.60, 75.73, 78.07, 76.57, 78.23),
            ("resnet32x4", "vgg8", 79.42, 70.46, 72.48, 75.02, 73.68, 75.21),
            ("resnet32x4", "vgg13", 79.42, 74.82, 77.21, 79.14, 77.71, 79.51),
            ("vgg13", "ShuffleV2", 74.64, 72.60, 75.89, 76.24, 76.26, 76.76),
            ("wrn_40_2", "MobileNetV2", 75.61, 65.43, 69.02, 69.77, 70.13, 69.37),
        ),
        start=1,
    )
)
PUBLISHED_ENSEMBLE = "wavg"  # with which the published ModReduce learned online
STANDARD_GROUP = ("kd", "crd", "semckd")  # the published ModReduce's students
FULL_SIZE = 50_000  # training images of CIFAR-100
# the methods that have published numbers, by the field of Experiment, and what the papers call them
PUBLISHED_METHODS = {"kd": "KD", "semckd": "SemCKD", "crd": "CRD"}
# in which the project measures them: those that say most come first
MEASURED_ORDER = (9, 5, 8, 1, 12, 3, 10, 11, 7, 13, 14, 4, 2, 6, 15)


def by_number(number: int) -> Experiment:
    """The experiment of that number, 1 to 15."""
    return EXPERIMENTS[number - 1]


def published_alone(model: str) -> list[float]:
    """What was published for this network without a teacher; two papers may differ."""
    values = [e.teacher_accuracy for e in EXPERIMENTS if e.teacher == model]
    values += [e.alone for e in EXPERIMENTS if e.student == model]
    return list(dict.fromkeys(values))
