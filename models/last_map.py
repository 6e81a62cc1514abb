"""The map that a network's classifier sees through an average over places."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helper.batch import Output

LastMap = Callable[[Output], Tensor]
TOLERANCE = 1e-2  # relative to the embedding: maps may be bfloat16


def last_stage_map(output: Output) -> Tensor:
    """The map after the last stage and its ReLU."""
    return output.maps[-1]


def last_activated_map(output: Output) -> Tensor:
    """The ReLU of what comes before it: in a wide ResNet the last BN lies between the stage and its ReLU."""
    return F.relu(output.preact[-1])


def averaged_map(output: Output) -> Tensor:
    """The map that the network itself says it averages."""
    return output.averaged


def candidates(output: Output) -> list[LastMap]:
    """Where the averaged map can be, as far as the Output has maps."""
    return [last_stage_map] * bool(output.maps) + [last_activated_map] * bool(output.preact)


def find_last_map(output: Output) -> LastMap | None:
    """The function from an Output to the map (B, D, H, W) whose average over places is the embedding (B, D).

    output: of a few images, which tell the candidates apart. None if no stage's map is averaged to the
    embedding (MobileNetV2 and ShuffleNetV2 have one more convolution behind the last stage).
    """
    embedding = output.embedding.detach().float()
    for candidate in candidates(output):
        means = candidate(output).detach().float().mean(dim=(2, 3))
        if means.shape == embedding.shape and torch.allclose(
            means, embedding, rtol=0, atol=TOLERANCE * float(embedding.abs().max())
        ):
            return candidate
    return None


def find_averaged_map(output: Output) -> LastMap | None:
    """The same, with the map behind further layers where the network gives it."""
    return averaged_map if output.averaged is not None else find_last_map(output)


@torch.no_grad()
def look(network: nn.Module, size: int = 32) -> Output:
    """A network's Output for an image of size x size, without a trace in its mode or running statistics."""
    training, place = network.training, next(network.parameters())
    image = torch.linspace(-2, 2, 3 * size * size, device=place.device).sin().reshape(1, 3, size, size)
    try:
        return network.eval().outputs(image.to(place.dtype))
    finally:
        network.train(training)
