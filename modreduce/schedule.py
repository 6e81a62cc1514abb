"""How much the students listen to each other, epoch by epoch."""

import math

STAGES = 24
RAMP_UP_EPOCHS = 80


def online_weight(epoch: int, epochs: int, start: float = 0.01, final: float = 0.7) -> float:
    """Weight of the online loss in a synchronous run, in epoch `epoch` (from 0) of `epochs`.

    It grows from `start` to `final` in 24 equal factors, one at the beginning of each 24th of the run: in 240
    epochs at 0, 10, 20, ... (ModReduce).
    """
    stage = STAGES * epoch // epochs + 1
    return start * (final / start) ** (stage / STAGES)


def consistency_weight(epoch: int, ramp_up: int = RAMP_UP_EPOCHS) -> float:
    """PCL's weight of the teacher's and the peers' soft targets in epoch `epoch` (from 0).

    exp(-5 (1 - t/80)^2) up to epoch 80, then 1 (Laine and Aila, "Temporal Ensembling", 2017, section 4).
    """
    return math.exp(-5.0 * (1.0 - min(epoch / ramp_up, 1.0)) ** 2)
