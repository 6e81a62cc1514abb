"""Any network of other code as one of this project's: its maps by hooks, and nothing of it changed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from helper.batch import Output
from helper.errors import UserError
from helper.sizes import ImageSize
from models.common import Network
from models.dry_run import as_map
from models.taps import Tap, Taps, choose_taps

INSIDE = "network."


class Tapped(Network):
    """A network with hooks at its taps, which listen while `outputs` runs.

    Its Output has no maps before their ReLU, since nothing says where these are; the embedding is what the
    linear classifier is given, or without one the mean of the last map. The state dict is the bare network's,
    under its own names.

    network: as its own code made it; taps: where its maps are; name: of the network; image_size: for which
    the taps were chosen.
    """

    def __init__(self, network: nn.Module, taps: Taps, name: str, image_size: ImageSize):
        super().__init__()
        self.network, self.taps, self.name, self.image_size = network, taps, name, image_size
        self.listening = False
        self.kept: dict[str, Tensor] = {}
        paths = {tap.path for tap in (*taps.stages, taps.stem, taps.averaged) if tap is not None}
        # now, since hooks that come after a compiled call are never called; partials of methods, since a
        # copy's hooks then keep what they see in the copy
        for path in sorted(paths):
            network.get_submodule(path).register_forward_hook(partial(self._keep_output, path))
        if taps.classifier is not None:
            network.get_submodule(taps.classifier).register_forward_pre_hook(self._keep_embedding)

    def _keep_output(self, path: str, module: nn.Module, arguments: tuple, output: Tensor) -> None:
        if self.listening:
            self.kept[path] = output

    def _keep_embedding(self, module: nn.Module, arguments: tuple) -> None:
        if self.listening:
            self.kept[""] = arguments[0]

    def outputs(self, x: Tensor) -> Output:
        self.kept, self.listening = {}, True
        try:
            logits = self.network(x)
        finally:
            kept, self.kept, self.listening = self.kept, {}, False
        maps = [self._map(kept, tap) for tap in self.taps.stages]
        embedding = kept[""].flatten(1) if self.taps.classifier is not None else maps[-1].mean(dim=(2, 3))
        stem = self._map(kept, self.taps.stem)
        if stem is None:
            stem = embedding[:, :, None, None]
        return Output(stem, maps, [], embedding, logits, averaged=self._map(kept, self.taps.averaged))

    def logits(self, x: Tensor) -> Tensor:
        return self.network(x)

    def forward(
        self, x: Tensor, is_feat: bool = False, preact: bool = False
    ) -> Tensor | tuple[list[Tensor], Tensor]:
        """As `Network.forward`; UserError for `preact`."""
        if preact:
            raise UserError(f"{self.name} gives no maps before their ReLU: where they are is not known")
        return super().forward(x, is_feat)

    @staticmethod
    def _map(kept: Mapping[str, Tensor], tap: Tap | None) -> Tensor | None:
        return None if tap is None else as_map(kept[tap.path], tap.layout)

    @property
    def classifier(self) -> nn.Linear:
        """The linear layer that gives the logits; UserError where there is none."""
        if self.taps.classifier is None:
            raise UserError(
                f"{self.name} has no linear layer that gives its logits: choose another network, or a method "
                "that does not read it"
            )
        return self.network.get_submodule(self.taps.classifier)

    def state_dict(self, *args: Any, prefix: str = "", **keywords: Any) -> dict[str, Any]:
        """The bare network's."""
        return self.network.state_dict(*args, prefix=prefix, **keywords)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict[f"{prefix}{INSIDE}{key.removeprefix(prefix)}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def tapped(
    network: nn.Module,
    name: str,
    image_size: ImageSize,
    asked: Sequence[str] | None = None,
    flag: str = "--taps_s",
) -> Tapped:
    """A network of other code with the taps that `choose_taps` finds."""
    return Tapped(network, choose_taps(network, name, image_size, asked, flag), name, image_size)


def said_of(network: nn.Module) -> str | None:
    """What to say of where a network's Output is found; None for a network that says it itself."""
    if not isinstance(network, Tapped):
        return None
    taps = network.taps
    shown = ", ".join(tap.path for tap in taps.stages)
    maps = f"its maps are of {shown} ({taps.how})" if shown else "no module gives its maps"
    head = (
        f"its embedding is the input of {taps.classifier}"
        if taps.classifier
        else ("it has no linear classifier, so its embedding is the mean of the last map")
    )
    return f"{network.name}: {maps}; {head}"


def tap_names(network: nn.Module) -> tuple[str, ...] | None:
    """The taps as a checkpoint keeps them; None for a network that says itself where its maps are."""
    return network.taps.names() if isinstance(network, Tapped) else None


def bare(network: nn.Module) -> nn.Module:
    """The network of a Tapped, else the network itself."""
    return network.network if isinstance(network, Tapped) else network
