"""Weights as .safetensors, with a config.json in timm's layout and the classes' names."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from exporting.deployed import Deployed, FromPixels
from exporting.formats import Format, Logits
from helper.checkpoint import ENTRIES
from helper.errors import one_line, told_in_a_line
from helper.files import write_atomically
from helper.sizes import sides
from models.checkpoint import read_network

WEIGHTS, CONFIG, LABELS = "model.safetensors", "config.json", "labels.txt"
OF_TIMM = ("classifier", "first_conv", "fixed_input_size")


class Safetensors(Format):
    """The weights under the names that they have in the checkpoint."""

    file = WEIGHTS
    packages = ("safetensors",)

    def write(self, network: Deployed, folder: Path) -> None:
        from safetensors.torch import save

        # a copy of each, since the format refuses tensors that share their memory
        weights = {key: value.contiguous().clone() for key, value in inner(network).state_dict().items()}
        metadata = {"format": "pt", ENTRIES: json.dumps(network.record.entries())}
        write_atomically(folder / WEIGHTS, save(weights, metadata))
        write_atomically(folder / CONFIG, json.dumps(layout_of(network).config(network), indent=2) + "\n")

    def read(self, network: Deployed, folder: Path, threads: int | None = None) -> Logits:
        with told_in_a_line(f"{WEIGHTS} cannot be read back as {network.arch}"):
            read = layout_of(network).read(network, folder)
        module = FromPixels(read, network.record.mean, network.record.std).eval()
        return torch.no_grad()(module)


class Layout(NamedTuple):
    """What stands in config.json, and how the folder is read by those whose layout it is."""

    config: Callable[[Deployed], dict[str, Any]]
    read: Callable[[Deployed, Path], nn.Module]


def inner(network: Deployed) -> nn.Module:
    """The network without its normalisation."""
    return network.module.network


def own_config(network: Deployed) -> dict[str, Any]:
    """timm's keys, with the name by which this project knows the network."""
    return {
        "architecture": network.arch,
        "num_classes": network.record.num_classes,
        "label_names": network.class_names,
        "pretrained_cfg": {
            "input_size": [3, *sides(network.image_size)],
            "mean": list(network.record.mean),
            "std": list(network.record.std),
            "num_classes": network.record.num_classes,
            **transform_of(network),
        },
        ENTRIES: network.record.entries(),
    }


def transform_of(network: Deployed) -> dict[str, Any]:
    """How a picture becomes an image for the network, in timm's words.

    crop_pct: the part of the resized shorter side that is seen; timm divides by it and rounds down.
    """
    side, resize = min(sides(network.image_size)), network.record.resize
    if resize is None:
        return {"crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear"}
    share = side / resize
    if math.floor(side / share) < resize:
        share = math.nextafter(share, 0)
    return {"crop_pct": share, "crop_mode": "center", "interpolation": "bilinear"}


def read_own(network: Deployed, folder: Path) -> nn.Module:
    return read_network(folder / WEIGHTS, network.arch).network


def timm_config(network: Deployed) -> dict[str, Any]:
    """As `timm.create_model("local-dir:FOLDER", pretrained=True)` reads it."""
    import timm

    config = own_config(network)
    name = network.arch.partition(":")[2]
    theirs: Mapping[str, Any] = getattr(inner(network), "pretrained_cfg", None) or {}
    config["architecture"] = name.partition(".")[0]
    config["num_features"] = inner(network).num_features
    config["pretrained_cfg"] |= {key: theirs[key] for key in OF_TIMM if theirs.get(key) is not None}
    known = timm.get_pretrained_cfg(name)
    if known is not None and known.fixed_input_size:
        config["model_args"] = {"img_size": list(sides(network.image_size))}
    return config


def read_timm(network: Deployed, folder: Path) -> nn.Module:
    import timm

    return timm.create_model(f"local-dir:{folder}", pretrained=True)


OWN = Layout(own_config, read_own)
layout_dict = {"timm": Layout(timm_config, read_timm)}


def layout_of(network: Deployed) -> Layout:
    """That of the library that the network is of, if there is one and it can build the network unchanged."""
    source, _, _ = network.arch.partition(":")
    return OWN if network.record.small_stem else layout_dict.get(source, OWN)


def write_labels(network: Deployed, folder: Path) -> None:
    """The classes' names, one a line, in the order of the logits."""
    write_atomically(folder / LABELS, "".join(f"{one_line(name)}\n" for name in network.class_names))
