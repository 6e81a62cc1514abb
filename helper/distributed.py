"""Several processes that train together, and all that knows of torch.distributed.

torchrun, or whoever sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, starts a command once for each rank.
Ranks meet only after each has checked all its input, so that whatever is wrong with it is told and none waits
for ever.
"""

import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from helper.device import Compute
from helper.errors import Shared, UserError, is_out_of_memory, one_line

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)
SECONDS_BETWEEN_LOOKS = 0.02
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Lost(Shared):
    """The ranks cannot reach each other any more."""


class Ranks:
    """This process's rank among all, of which each trains every world-th student.

    Alone, as by default, everything here gives back what it gets. All methods but `mine`, `own_device` and
    `same_batches` have to be called by all ranks, in the same order.
    """

    def __init__(self, rank: int = 0, world: int = 1):
        self.rank, self.world = rank, world
        self._tensors: dist.ProcessGroup | None = None  # None: gloo, which also carries all that is no tensor

    @property
    def first(self) -> bool:
        """Whether it is this process that writes and speaks."""
        return not self.rank

    def mine(self, items: Sequence[T]) -> list[T]:
        """Those of the students' items, one for each student, whose students this rank trains."""
        return list(items[self.rank :: self.world])

    def own_device(self, device: torch.device) -> torch.device:
        """The device of this rank, one of the machine's GPUs if `device` is one; UserError if there is none
        left, or if all were to share it.
        """
        if self.world == 1 or device.type != "cuda":
            return device
        local, gpus = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if device.index is not None:
            raise UserError(f"--device {device}: each rank has a GPU of its own: give --device cuda")
        if local >= gpus:
            raise UserError(f"more ranks on this machine than its {gpus} GPUs: allowed are 1 to {gpus}")
        torch.cuda.set_device(local)
        return torch.device("cuda", local)

    def start(self, device: torch.device, facts: Mapping[str, Any]) -> None:
        """Meet the other ranks; UserError if one of them has an error to tell, or other facts than the first.

        facts: plain values by name, of all that has to be the same.
        """
        if self.world == 1:
            return
        found = _meet((None, dict(facts)))
        for rank, (line, _) in enumerate(found):
            if line is not None:
                raise Shared(f"rank {rank}: {line}")
        first = found[0][1]
        for rank, (_, other) in enumerate(found):
            names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
            if names:
                told = ", ".join(f"{name} ({other.get(name)}, {first.get(name)} on rank 0)" for name in names)
                raise Shared(
                    f"rank {rank} was started otherwise than rank 0: {told}; give all ranks the same command "
                    "and the same files"
                )
        if device.type == "cuda":
            self._tensors = dist.new_group(backend="nccl", timeout=TIMEOUT)

    def gather(self, own: Sequence[Tensor], count: int, like: Tensor | None = None) -> list[Tensor]:
        """The tensors of all students in their order: this rank's as they are, the others without gradient.

        own: those of this rank's students, all of one shape and dtype on all ranks; count: of all; like: one
        of that shape, for a rank that may have none.
        """
        if self.world == 1:
            return list(own)
        like = own[0] if like is None else like
        block = like.new_zeros(-(-count // self.world), *like.shape)
        for place, tensor in enumerate(own):
            block[place] = tensor.detach()
        whole = block.new_empty(self.world * len(block), *like.shape)
        with _connected():
            dist.all_gather_into_tensor(whole, block, group=self._tensors)
        found = [whole[k % self.world * len(block) + k // self.world] for k in range(count)]
        found[self.rank :: self.world] = own
        return found

    def largest(self, *numbers: int) -> list[int]:
        """Of each number the largest that a rank has."""
        if self.world == 1:
            return list(numbers)
        found = torch.tensor(numbers)
        with _connected():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return found.tolist()

    def of_all(self, own: T) -> list[T]:
        """The values of all ranks, on each; tensors among them on the CPU."""
        if self.world == 1:
            return [own]
        found: list[Any] = [None] * self.world
        with _connected():
            dist.all_gather_object(found, own)
        return found

    def on_first(self, own: T) -> list[T]:
        """The values of all ranks, on the first; nothing on the others."""
        if self.world == 1:
            return [own]
        found: list[Any] | None = [None] * self.world if self.first else None
        with _connected():
            dist.gather_object(own, found)
        return found or []

    def of_first(self, own: T) -> T:
        """The first rank's value, on all."""
        if self.world == 1:
            return own
        found = [own]
        with _connected():
            dist.broadcast_object_list(found)
        return found[0]

    @contextmanager
    def same_batches(self) -> Iterator[None]:
        """Turn a memory that is too small into a UserError: no rank may go on alone with smaller batches."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if self.world == 1 or not is_out_of_memory(error):
                raise
            raise UserError("the memory is too small to evaluate: use a smaller --eval_batch_size") from error

    def stop(self) -> None:
        """Part from the other ranks, who may be done already."""
        if self.world > 1:
            dist.destroy_process_group()


def ranks_of(compute: Compute, students: int) -> Ranks:
    """This process's place among those that train so many students; UserError if these are too few, or if
    they cannot be trained so.
    """
    rank, world = _place()
    if world > students:
        raise UserError(
            f"{world} ranks for {students} students, each of which is trained by one rank: allowed are "
            f"1 to {students} (torchrun --nproc-per-node)"
        )
    if world > 1 and compute.cuda_graph:
        raise UserError("--cuda_graph is for one process: leave it out, or start without torchrun")
    return Ranks(rank, world)


def tell_others(line: str) -> bool:
    """Have the ranks that wait for this one end as it does, with the line of its error, unless training has
    begun; returns whether they heard.
    """
    if dist.is_initialized():
        return False
    try:
        _meet((line, {}))
    except UserError:
        return False
    return True


def _meet(own: tuple[str | None, dict[str, Any]]) -> list[tuple[str | None, dict[str, Any]]]:
    """What each rank brings: the line of its error or None, and its facts."""
    rank, world = _place()
    found: list[Any] = [None] * world
    with _connected():
        store, _, _ = next(rendezvous("env://", rank, world, timeout=TIMEOUT))
        store = dist.PrefixStore(_start_of(store, rank, world), store)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=TIMEOUT)
        dist.all_gather_object(found, own)
    return found


def _start_of(store: dist.Store, rank: int, world: int) -> str:
    """A name for this start of all ranks, on which they agree.

    torchrun keeps its store when it starts ranks anew, and with it the addresses of those that died, to which
    torch 2.15 would connect. So each rank leaves a name of its own, the first one says whose names it found,
    and a start is one that all those have seen whom it names: the dead see none.
    """
    own, seen, begin = uuid.uuid4().hex, "", time.monotonic()
    store.set(f"modreduce/rank {rank}", own)
    while time.monotonic() - begin < TIMEOUT.total_seconds():
        if not rank:
            names = [store.get(f"modreduce/rank {other}").decode() for other in range(world)]
            store.set("modreduce/start", " ".join(names))
        start = store.get("modreduce/start").decode()
        if own in start.split():
            if store.add(f"modreduce/seen {start}", int(start != seen)) == world:
                return start
            seen = start
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise RuntimeError(f"not all {world} ranks came within {TIMEOUT}")


def _place() -> tuple[int, int]:
    """Rank and number of ranks, from the environment; UserError where it says them by halves."""
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        return 0, 1
    lacking = [name for name in PLACE if not os.environ.get(name)]
    if lacking:
        raise UserError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, and {', '.join(lacking)} not set: start with "
            "torchrun, or unset WORLD_SIZE"
        )
    try:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except ValueError:
        raise UserError(
            f"RANK is {os.environ['RANK']} and WORLD_SIZE {os.environ['WORLD_SIZE']}: allowed are whole "
            "numbers: start with torchrun, or unset both"
        ) from None


@contextmanager
def _connected() -> Iterator[None]:
    """Say in a line that ranks do not reach each other."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise Lost(
            f"the ranks lost each other ({one_line(error)[:100]}): one of them ended or hangs; the same "
            "command with --resume goes on from the last state"
        ) from error
