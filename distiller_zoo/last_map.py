"""The map that a network's classifier sees, for the methods that read it."""

from helper.batch import Output
from helper.errors import UserError
from models.last_map import LastMap, find_last_map


def last_map_of(example: Output, method: str, model: str) -> LastMap:
    """The function from a network's Output to the map whose average over places it classifies.

    example: the network's Output for a few images. Raises UserError, naming method and network, if no map of
    the Output is that one.
    """
    found = find_last_map(example)
    if found is None:
        raise UserError(
            f"{method} needs the map that the classifier averages, which {model} does not give: allowed are "
            "networks that average their last stage, such as resnet8x4, wrn_40_2, vgg8 or ShuffleV1"
        )
    return found
