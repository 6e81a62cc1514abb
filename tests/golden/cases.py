"""What the golden entries of all methods have in common: inputs by name, weights by published key, gradients.

`run_case(entry)` runs this project's own code on an entry of `methods_classic.json` or `methods_modern.json`
and gives its numbers in the entry's own form; `assert_agrees` holds them against the best reference that the
entry has. A module of `CASE_MODULES` that is not there is passed over.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.golden.formula import fill, tensor

CASE_MODULES = (
    "tests.golden.cases_classic",
    "tests.golden.cases_logits",
    "tests.golden.cases_features",
    "tests.golden.cases_online",
)
RELATIVE = 1e-4  # the golden values' own tolerance

Case = Callable[..., dict]


def load_entries(file_name: str) -> dict[str, dict]:
    """The entries of a golden file by name, without its remarks."""
    entries = json.loads((Path(__file__).parent / file_name).read_text())
    return {name: entry for name, entry in entries.items() if not name.startswith("_")}


def all_cases() -> dict[str, Case]:
    """Method name -> function(entry, dtype=...), of every module that is there."""
    found: dict[str, Case] = {}
    for name in CASE_MODULES:
        if importlib.util.find_spec(name) is not None:
            found |= importlib.import_module(name).CASES
    return found


def run_case(entry: dict, dtype: torch.dtype = torch.float32) -> dict:
    """The numbers of this project's code for an entry, computed in `dtype`: see `measure`."""
    return all_cases()[entry["method"]](entry, dtype=dtype)


def make_inputs(entry: dict, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The entry's inputs by name; those in `wrt` ask for a gradient."""
    made = {}
    for name, (shape, std, mean) in entry["inputs"].items():
        value = tensor(name, shape, std, mean)
        if name in entry.get("relu", ()):
            value = value.relu()
        made[name] = value.to(dtype).requires_grad_(name in (entry.get("wrt") or ()))
    return made


class _State:
    """As much of a module as `fill` asks for."""

    def __init__(self, shapes: Mapping[str, Iterable[int]]):
        self.tensors = {key: torch.zeros(tuple(shape)) for key, shape in shapes.items()}

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.tensors)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.tensors = state


def published_state(entry: dict) -> dict[str, Tensor]:
    """The weights and buffers of the entry's trained layers by published key, in float32."""
    state = fill(_State(entry.get("state", {}))).tensors
    for key, constant in entry.get("state_not_filled", {}).items():
        state[key] = torch.full_like(state[key], constant)
    return state


def load_published(
    module: nn.Module,
    entry: dict,
    own_name: Callable[[str], str | None] = lambda key: key,
    dtype: torch.dtype = torch.float32,
) -> dict[str, nn.Parameter]:
    """Fill a module with the entry's weights, cast it to `dtype`, set the entry's mode (train unless it says
    eval), and give its parameters by published key.

    own_name: published key -> the module's own, or None for what the module does not have. Shapes may differ
    where the number of elements agrees (a linear layer for a 1x1 convolution). Raises where the module has a
    parameter or buffer that nothing fills.
    """
    names = {key: own for key in published_state(entry) if (own := own_name(key)) is not None}
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    values = published_state(entry)
    module.load_state_dict({own: values[key].reshape(shapes[own]) for key, own in names.items()}, strict=True)
    module.to(dtype).train(entry.get("mode", "train") == "train")
    parameters = dict(module.named_parameters())
    return {key: parameters[own] for key, own in names.items() if own in parameters}


def gradient_numbers(gradient: Tensor) -> tuple[float, float]:
    """L2 norm of a gradient and its product with the probe, both summed in float64."""
    gradient = gradient.detach().double()
    probe = tensor("probe", tuple(gradient.shape)).double()
    return float(gradient.norm()), float((gradient * probe).sum())


def measure(
    entry: dict,
    loss: Tensor,
    tensors: Mapping[str, Tensor],
    parts: Iterable[Tensor] | Mapping[str, Tensor] | None = None,
) -> dict:
    """The entry's numbers of a loss: `loss`, `grad_norms` and `grad_sums` in the order of `wrt`,
    `param_grads` ({key: [norm, sum]}, None without a gradient) where the entry has them, and `parts` if
    given.

    tensors: inputs and parameters by the names that the entry uses.
    """
    wrt, keys = list(entry.get("wrt") or ()), list(entry.get("param_grads") or ())
    missing = [name for name in wrt if name not in tensors]
    if missing:
        raise KeyError(f"the entry asks for gradients of {missing}, which the case does not give")
    names = [name for name in (*wrt, *keys) if name in tensors]
    gradients = torch.autograd.grad(loss.sum(), [tensors[name] for name in names], allow_unused=True)
    numbers = {
        name: None if g is None else gradient_numbers(g) for name, g in zip(names, gradients, strict=True)
    }
    for name in wrt:
        numbers[name] = numbers[name] or (0.0, 0.0)  # what the loss doesn't depend on
    result: dict = {
        "loss": float(loss.detach().sum()),
        "grad_norms": [numbers[name][0] for name in wrt],
        "grad_sums": [numbers[name][1] for name in wrt],
    }
    if keys:
        result["param_grads"] = {key: (list(numbers[key]) if numbers.get(key) else None) for key in keys}
    if isinstance(parts, Mapping):
        result["parts"] = {name: float(torch.as_tensor(value).detach()) for name, value in parts.items()}
    elif parts is not None:
        result["parts"] = [float(torch.as_tensor(value).detach()) for value in parts]
    return result


def reference(entry: dict) -> dict:
    """The entry's best block of numbers."""
    return entry.get("canonical") or entry.get("float64") or entry


def assert_agrees(
    result: dict, entry: dict, relative: float = RELATIVE, rounding: Iterable[str] = ()
) -> None:
    """Hold the numbers of `measure` against an entry's best reference.

    Loss, parts and norms relatively; a probe sum relatively to the larger of itself and its gradient's norm.
    rounding: names of gradients that are zero in exact arithmetic (biases in front of a batch norm), which
    only have to be small beside the largest gradient.
    """
    best, rounding = reference(entry), set(rounding)
    wrt = list(entry.get("wrt") or ())
    pairs = {
        name: ((norm, total), (golden_norm, golden_total))
        for name, norm, total, golden_norm, golden_total in zip(
            wrt,
            result["grad_norms"],
            result["grad_sums"],
            best.get("grad_norms", ()),
            best.get("grad_sums", ()),
            strict=True,
        )
    }
    for key, golden in (best.get("param_grads") or entry.get("param_grads") or {}).items():
        if golden is None:
            assert result["param_grads"][key] is None, f"{key} has a gradient"
        else:
            pairs[key] = (tuple(result["param_grads"][key]), tuple(golden))
    _close("loss", result["loss"], best["loss"], relative * abs(best["loss"]))
    largest = max((golden[0] for _, golden in pairs.values()), default=0.0)
    for name, (own, golden) in pairs.items():
        if name in rounding:
            assert own[0] <= relative * largest, f"gradient of {name}: {own[0]} beside {largest}"
            continue
        _close(f"gradient norm of {name}", own[0], golden[0], relative * golden[0])
        _close(f"probe sum of {name}", own[1], golden[1], relative * max(abs(golden[1]), golden[0]))
    if "parts" in result and "parts" in best:
        own_parts, parts = result["parts"], best["parts"]
        keys = parts if isinstance(parts, dict) else range(len(parts))
        assert len(own_parts) == len(parts)
        for key in keys:
            _close(f"part {key}", own_parts[key], parts[key], relative * abs(parts[key]))


def _close(what: str, value: float, golden: float, allowed: float) -> None:
    assert abs(value - golden) <= allowed, f"{what}: {value} instead of {golden}"
