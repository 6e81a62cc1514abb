"""What ranks say to each other in a step, in microseconds: the median and the 90th of a hundred, on the CPU.

torchrun --nproc-per-node 2 -m benchmarks.ranks
torchrun --nproc-per-node 2 -m benchmarks.ranks --students 3 --batch_size 64 --classes 1000
"""

import argparse
import time
from collections.abc import Callable

import torch

from helper.device import Compute
from helper.distributed import ranks_of

WARM_UP, TIMES = 200, 2000


def microseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Median and 90th percentile of a call."""
    taken = []
    for _ in range(WARM_UP + TIMES):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    taken = sorted(taken[WARM_UP:])
    return 1e6 * taken[TIMES // 2], 1e6 * taken[9 * TIMES // 10]


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--students", type=int, default=3)
    flags.add_argument("--batch_size", type=int, default=64)
    flags.add_argument("--classes", type=int, default=100)
    args = flags.parse_args()
    torch.set_num_threads(1)
    ranks = ranks_of(Compute(), args.students)
    ranks.start(torch.device("cpu"), vars(args))
    own = [torch.randn(args.batch_size, args.classes) for _ in ranks.mine(range(args.students))]
    calls = {
        "logits of all students": lambda: ranks.gather(own, args.students),
        "whether one is to stop": lambda: ranks.largest(0, 0),
    }
    for name, call in calls.items():
        median, slow = microseconds(call)
        if ranks.first:
            print(f"{name}, {ranks.world} ranks, {args}: {median:.0f} us, 90th of a hundred {slow:.0f} us")
    ranks.stop()


if __name__ == "__main__":
    main()
