"""Every random stream of a run is a function of its seed and of names: nothing drawn here can shift another
draw.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch


def derive_seed(seed: int, *labels: str | int) -> int:
    """A 63-bit seed for the stream that the labels name, the same on every machine and in every process."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(device: torch.device | str, seed: int) -> torch.Generator:
    """A generator on the device, seeded."""
    return torch.Generator(device).manual_seed(seed)


def random_states(device: torch.device, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """Where torch's own streams on the CPU and on the device stand, and those of the methods."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if device.type == "cuda" else None,
        "methods": [generator.get_state() for generator in generators],
    }


def set_random_states(states: Mapping[str, Any], generators: Sequence[torch.Generator]) -> None:
    """Put all streams back to where `random_states` found them; None for a stream leaves it as it is."""
    torch.set_rng_state(states["cpu"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state(states["cuda"])
    for stream, state in zip(generators, states["methods"], strict=True):
        if state is not None:
            stream.set_state(state)
