"""An ensemble of one's own: the median of the students' logits.

    python -m examples.ensemble --path_t T.pth --model_s resnet8 --distill kd rkd dkd --online
    median --dataset digits

In the project it would be modreduce/median.py and one line in modreduce/__init__.py: "median":
"median:Median".
"""

from torch import Tensor

import train_modreduce
from helper.errors import run_script
from modreduce import ensemble_dict
from modreduce.fused import FusedEnsemble


class Median(FusedEnsemble):
    """For each class the median of what the students say."""

    name = "median"

    def combine(self, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Fused logits (B, C) and each student's weight (N,), of logits (N, B, C)."""
        return logits.median(dim=0).values, logits.new_full((len(logits),), 1 / len(logits))


ensemble_dict["median"] = Median

if __name__ == "__main__":
    run_script(train_modreduce.main, several_ranks=True)
