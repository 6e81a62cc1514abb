"""Where a run computes, and where bf16 is used and where not."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from helper.errors import UserError

PRECISIONS = ("auto", "bf16", "fp32")
EVAL_PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and how a run computes."""

    device: Annotated[str, str, "auto, cpu, cuda, cuda:1, ..."] = "auto"
    precision: Annotated[
        str, PRECISIONS, "auto: bf16 convolutions where the hardware has them, losses always in fp32"
    ] = "auto"
    eval_precision: Annotated[str, EVAL_PRECISIONS, "of what is reported"] = "fp32"
    deterministic: Annotated[bool, "the same bits at every run on a GPU too (slower)"] = False
    compile: Annotated[bool, "compile networks and methods with torch.compile"] = False
    cuda_graph: Annotated[bool, "replay the whole step as one CUDA graph, students side by side"] = False


def prepare(compute: Compute) -> tuple[torch.device, str]:
    """Set what the device needs for speed or for sameness; returns it and the precision of training there.

    Products in float32 are exact ones everywhere: TF32 is off. Raises UserError if the device is not there,
    or cannot do what is asked.
    """
    device = resolve_device(compute.device)
    if compute.cuda_graph and device.type != "cuda":
        raise UserError("--cuda_graph needs --device cuda: leave it out on a CPU")
    if compute.compile:
        require_compiler(device)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if compute.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to repeat its bits
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    return device, resolve(compute.precision, device)


def require_compiler(device: torch.device) -> None:
    """Raise UserError if what torch.compile needs on the device is not installed."""
    if device.type == "cuda":
        flag, known = "CC", ("cc", "gcc", "clang")
    else:
        flag, known = "CXX", ("clang++",) if sys.platform == "darwin" else ("g++",)
    known = (os.environ[flag],) if flag in os.environ else known
    if not any(map(shutil.which, known)):
        raise UserError(
            f"--compile needs a compiler, and there is no {' or '.join(known)}: install one, name it in the "
            f"environment's {flag}, or leave --compile out"
        )


def resolve_device(name: str) -> torch.device:
    """The torch device of --device; UserError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name} is unknown: allowed are auto, cpu, cuda, cuda:0, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name} is not supported: allowed are auto, cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: this machine has no CUDA GPU that torch can use; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()
    return False


def resolve(precision: str, device: torch.device) -> str:
    """'bf16' or 'fp32': what `--precision` means on this device."""
    if precision == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    return precision


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which the networks run: bfloat16 convolutions and products, or plain float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def full_precision(device_type: str) -> torch.autocast:
    """The context in which losses, similarities and softmaxes are computed, whatever surrounds them."""
    return torch.autocast(device_type, enabled=False)


def autocast_like(x: torch.Tensor) -> torch.autocast:
    """The context in which a method's own layers run as the network did that gave x: in bfloat16 if x is."""
    return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=x.dtype == torch.bfloat16)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on the device, None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def device_name(device: torch.device) -> str:
    """What the device calls itself, with the number of threads on a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"CPU: {model}, {torch.get_num_threads()} threads"
