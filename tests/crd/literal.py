"""CRD's loss word for word as published, for the tests to hold the fast one against.

Every positive and negative is gathered as a vector from its bank; gradients are autograd's own.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class LiteralCRD:
    """Both banks (n_data, D) and, from the first step on, both constants Z.

    Z is set once, to mean(exp(score/T)) * n_data.
    """

    bank_s: Tensor
    bank_t: Tensor
    temperature: float = 0.07
    momentum: float = 0.5
    z: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, v_s: Tensor, v_t: Tensor, indices: Tensor, contrast_idx: Tensor) -> Tensor:
        """Loss of unit vectors v_s and v_t (B, D), contrast_idx (B, K + 1) with the positive first."""
        loss = self._direction("s", v_s, self.bank_t, contrast_idx)
        loss = loss + self._direction("t", v_t, self.bank_s, contrast_idx)
        with torch.no_grad():
            for bank, v in ((self.bank_s, v_s), (self.bank_t, v_t)):
                mixed = self.momentum * bank[indices] + (1 - self.momentum) * v
                bank[indices] = F.normalize(mixed, dim=1)
        return loss

    def _direction(self, name: str, v: Tensor, bank: Tensor, contrast_idx: Tensor) -> Tensor:
        n_data, m = len(bank), contrast_idx.shape[1] - 1
        vectors = bank[contrast_idx]
        scores = torch.exp((vectors @ v[:, :, None]).squeeze(2) / self.temperature)
        if name not in self.z:
            self.z[name] = scores.detach().mean() * n_data
        p = scores / self.z[name]
        noise, epsilon = m / n_data, 1e-7
        log_positive = torch.log(p[:, 0] / (p[:, 0] + noise + epsilon))
        log_negative = torch.log(noise / (p[:, 1:] + noise + epsilon))
        return -(log_positive.sum() + log_negative.sum()) / len(v)
