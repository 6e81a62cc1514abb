"""Moving averages of networks over the steps of training."""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Averages(nn.ModuleList):
    """Copies of networks that are to follow them: always in eval mode, never trained."""

    def __init__(self, networks: Iterable[nn.Module] = ()):
        super().__init__(copy.deepcopy(network) for network in networks)
        self.requires_grad_(False)
        self.eval()
        self._pairs: dict[bool, tuple[list[Tensor], list[Tensor]]] = {}

    def train(self, mode: bool = True) -> "Averages":
        """They predict with their averaged batch-norm statistics, whatever the networks do."""
        return super().train(False)

    def pairs(
        self, networks: Sequence[nn.Module | None], floating: bool = True
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The averages' parameters and buffers, and beside each the network's own: those of floating-point
        numbers, or all others. Without those of networks that are None, which another process trains.
        """
        if floating not in self._pairs:
            own, current = [], []
            for average, network in zip(self, networks, strict=True):
                if network is None:
                    continue
                found = network.state_dict(keep_vars=True)
                for key, tensor in average.state_dict(keep_vars=True).items():
                    if tensor.is_floating_point() == floating:
                        own.append(tensor)
                        current.append(found[key])
            self._pairs[floating] = own, current
        return self._pairs[floating]


class ExponentialAverages(Averages):
    """Exponential moving averages of networks: a <- a + (1 - d) (w - a) at every step, batch-norm statistics
    included, with d = min(decay, (1 + t) / (10 + t)) at step t (from 0).

    So the first steps, whose weights are far from the last ones', are soon forgotten: the warm-up of
    TensorFlow's ExponentialMovingAverage. Whole numbers, such as a batch norm's counter, are those of the
    network. torch.optim.swa_utils.AveragedModel asks the device in each step how far it is, which a captured
    step cannot.

    networks: in the order in which `follow` gets them; decay: below 1.
    """

    def __init__(self, networks: Iterable[nn.Module], decay: float):
        super().__init__(networks)
        self.decay = decay
        self.register_buffer("steps", torch.zeros(()))

    @torch.no_grad()
    def restart(self, networks: Sequence[nn.Module | None]) -> None:
        """Begin anew, with the networks as they are."""
        self.steps.zero_()
        for floating in (True, False):
            self._copy(*self.pairs(networks, floating))

    @torch.no_grad()
    def follow(self, networks: Sequence[nn.Module | None]) -> None:
        """Move every average towards its network, if that is here: in place, without asking the device for a
        value.
        """
        averages, current = self.pairs(networks)
        decay = torch.clamp((1.0 + self.steps) / (10.0 + self.steps), max=self.decay)
        self.steps += 1.0
        # by their difference, so that what is not trained stays what it is, to the bit
        moves = torch._foreach_sub(current, averages)
        torch._foreach_mul_(moves, 1.0 - decay)
        torch._foreach_add_(averages, moves)
        self._copy(*self.pairs(networks, floating=False))

    @staticmethod
    def _copy(averages: list[Tensor], current: list[Tensor]) -> None:
        if averages:
            torch._foreach_copy_(averages, current)
