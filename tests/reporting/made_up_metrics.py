"""Made-up rows of a metrics.csv and the results beside it, for the tests of what draws them."""

from helper.results import EnsembleScore, Results, StudentScore, TeacherScore
from modreduce.schedule import online_weight

NAMES = ("kd", "crd", "semckd")
PNG = b"\x89PNG\r\n\x1a\n"
RESULTS = Results(
    script="train_modreduce", dataset="cifar100", epochs=2, seed=1, seconds=1.0, device="CPU",
    students=tuple(
        StudentScore(name, "resnet20", name, 60.0 + place, 61.0 + place) for place, name in enumerate(NAMES)
    ),
    teacher=TeacherScore("resnet56", 72.3), ensemble=EnsembleScore("wavg", 64.0, 65.0, (0.5, 0.3, 0.2)),
)  # fmt: skip


def made_up_rows(epochs: int, online: bool = True, names: tuple[str, ...] = NAMES) -> list[dict]:
    rows = []
    for epoch in range(1, epochs + 1):
        for place, name in enumerate((*names, "ensemble") if online else names):
            is_student = name != "ensemble"
            rows.append(
                {
                    "epoch": epoch,
                    "student": name,
                    "train_loss": 4.0 / epoch * 100 ** (place % 3) if is_student else None,
                    "train_acc": 10.0 * epoch + place if is_student else "",
                    "test_loss": 3.0 / epoch,
                    "test_acc": 8.0 * epoch + place,
                    "online_weight": online_weight(epoch - 1, epochs) if online and is_student else None,
                    "ensemble_weight": (0.5, 0.3, 0.2)[place % 3] if online and is_student else None,
                }
            )
    return rows
