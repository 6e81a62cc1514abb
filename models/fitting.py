"""Which network of the zoo weights belong to, for whoever did not name it, or named another."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models import build_network, model_dict
from models.layouts import COMPILED, below, fits, prefixes


def said_of_fitting(weights: Mapping[str, Tensor]) -> str:
    """'; its weights fit resnet20', or '' if they fit none: the end of an error's line."""
    names = networks_that_fit(weights)
    return f"; its weights fit {' and '.join(names)}" if names else ""


def networks_that_fit(weights: Mapping[str, Tensor]) -> list[str]:
    """The networks whose names and shapes the weights have, behind any prefix, for any number of classes."""
    weights = {key.replace(COMPILED, ""): value for key, value in weights.items()}
    found = []
    for name in model_dict:
        with torch.device("meta"), _WithoutDrawing():
            own = build_network(name).state_dict()
        if any(fits(below(weights, prefix), own) for prefix in ("", *prefixes(weights, own))):
            found.append(name)
    return found


class _WithoutDrawing(TorchFunctionMode):
    """Networks are built without their first weights, whose drawing takes most of the time."""

    def __torch_function__(
        self, function: Callable, types: Any, arguments: tuple = (), keywords: dict | None = None
    ) -> Any:
        keywords = keywords or {}
        if getattr(function, "__module__", None) == nn.init.__name__ or function is Tensor.normal_:
            return arguments[0] if arguments else keywords["tensor"]
        return function(*arguments, **keywords)
