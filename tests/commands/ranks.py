"""Whole commands started as torchrun does it: once per rank, in processes forked from the tests' server."""

import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.commands import running
from tests.commands.running import Ended, Runner, outcome

STEPS = 2  # of an epoch
COMMAND = "train_modreduce --model_s resnet8 --epochs 2 --train_size 32 --nce_k 8 --feat_dim 16"
Hook = tuple[Callable, tuple]


def as_rank(rank: int, world: int, port: int, hook: Hook | None = None) -> None:
    """Hook: be one rank of several on this machine, with a hook of its own if need be."""
    from helper import errors

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    original = errors.run_script
    running.run_script = lambda main: original(main, several_ranks=main.__module__ == "train_modreduce")
    if hook is not None:
        hook[0](*hook[1])


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(
    runner: Runner,
    world: int,
    *words: str,
    command: str = COMMAND,
    hooks: dict[int, Hook] | None = None,
    others: dict[int, Sequence[str]] | None = None,
) -> list:
    """The processes of a command, one per rank.

    hooks: by rank; others: further words that some ranks alone get.
    """
    port, hooks, others = free_port(), hooks or {}, others or {}
    return [
        runner.start(
            command,
            *words,
            *others.get(rank, ()),
            hook=as_rank,
            hook_arguments=(rank, world, port, hooks.get(rank)),
        )
        for rank in range(world)
    ]


def ended(runner: Runner, world: int, *words: str, **more: Any) -> list[Ended]:
    """How each rank of a command ended."""
    return [runner.ended(process) for process in start(runner, world, *words, **more)]


def run_well(runner: Runner, world: int, *words: str, **more: Any) -> None:
    """Run a command that has to end well, and of which the first rank alone may speak."""
    found = ended(runner, world, *words, **more)
    assert [one.status for one in found] == [0] * world, found
    assert not any(one.err for one in found), found
    assert found[0].out and not any(one.out for one in found[1:])


def run_alone(runner: Runner, *words: str, command: str = COMMAND) -> None:
    """Run it in one process, and well."""
    found = runner(command, *words)
    assert (found.status, found.err) == (0, "")


def refused(found: Sequence[Ended], status: int = 2) -> str:
    """The one line that several ranks print when they are refused or stopped, the first rank's."""
    first, *others = found
    assert [one.status for one in found] == [status] * len(found), found
    assert not any(one.err or one.out for one in others), found
    assert first.err.count("\n") == 1, first.err
    return first.err


def left_by(root: Path) -> dict[str, Any]:
    """All that a run left, but for the number of ranks that its device names."""
    found = outcome(root)
    found["results.json"]["device"] = re.sub(r" \(\d ranks\)$", "", found["results.json"]["device"])
    return found
