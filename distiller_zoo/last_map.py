"""The map that a network's classifier sees, for the methods that read it."""

from helper.batch import Output
from helper.errors import UserError
from models.last_map import LastMap, find_averaged_map


def last_map_of(example: Output, method: str, model: str) -> LastMap:
    """The function from a network's Output to the map whose average over places it classifies.

    example: the network's Output for a few images. Raises UserError, naming method and network, if there is
    no such map.
    """
    found = find_averaged_map(example)
    if found is None:
        raise UserError(
            f"{method} needs the map that the classifier averages, which {model} does not give: allowed are "
            "networks that end in an average and a linear layer, as those of models/"
        )
    return found
