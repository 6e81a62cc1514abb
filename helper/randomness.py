"""Every random stream of a run is a function of its seed and of names: nothing drawn here can shift another
draw.
"""

import hashlib

import torch


def derive_seed(seed: int, *labels: str | int) -> int:
    """A 63-bit seed for the stream that the labels name, the same on every machine and in every process."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(device: torch.device | str, seed: int) -> torch.Generator:
    """A generator on the device, seeded."""
    return torch.Generator(device).manual_seed(seed)
