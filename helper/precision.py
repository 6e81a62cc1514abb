"""Where bf16 is used, and where it is not."""

import torch

PRECISIONS = ("auto", "bf16", "fp32")


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
