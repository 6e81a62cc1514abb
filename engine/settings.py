"""What a run was asked for: the records of its rooms, and the flags of methods and ensembles."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from dataset.data import DataSettings
from dataset.picture_settings import PictureSettings
from engine.former import is_former, without_defaults
from engine.optimizer import Recipe
from engine.run_folder import Place
from helper.arguments import options_of
from helper.checkpoint import digest
from helper.device import Compute

RECORDS = {
    "data": DataSettings,
    "pictures": PictureSettings,
    "recipe": Recipe,
    "compute": Compute,
    "place": Place,
}
# what may differ at a resume beside how and where a run computes: what stands there is told by its hash
FOUND_ELSEWHERE = ("data_folder", "path_t", "eval_batch_size", "workers", "cache_folder")
PRECISIONS = ("precision", "eval_precision")


@dataclass(frozen=True)
class Settings:
    """What the flags say, in the records that the rooms read.

    options: the flags that belong to no record; defaults: of every flag; owners: the methods and ensembles
    that have a flag, of those that are theirs.
    """

    data: DataSettings
    recipe: Recipe
    compute: Compute
    place: Place
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]
    owners: Mapping[str, Sequence[str]]
    pictures: PictureSettings = field(default_factory=PictureSettings)

    @classmethod
    def of(
        cls, values: Mapping[str, Any], defaults: Mapping[str, Any], owners: Mapping[str, Sequence[str]]
    ) -> "Settings":
        """From the values of all flags by name."""
        records = {name: kind(**options_of(kind, values)) for name, kind in RECORDS.items()}
        taken = {field.name for kind in RECORDS.values() for field in fields(kind)}
        options = {name: value for name, value in values.items() if name not in taken}
        return cls(**records, options=options, defaults=defaults, owners=owners)

    def nested(self) -> dict[str, Any]:
        """Every setting as a plain value, by record; the others under 'options'."""
        records = {name: plain(asdict(getattr(self, name))) for name in RECORDS}
        return {**records, "options": plain(self.options)}

    def changed(self) -> dict[str, Any]:
        """The flags that say what is computed, and whose values differ from their defaults."""
        values = {**asdict(self.data), **asdict(self.pictures), **asdict(self.recipe), **self.options}
        different = {name: value for name, value in values.items() if value != self.defaults.get(name)}
        return plain({name: value for name, value in different.items() if name not in FOUND_ELSEWHERE})


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON and a checkpoint can hold them."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a resumed run must share with its beginning, from settings as a run keeps them, now or formerly.

    Where and how it computes may differ, but for the precision that was used.
    """
    if is_former(settings):
        found = without_defaults(settings) | {"eval_precision": settings.get("precision")}
    else:
        said = ("data", "pictures", "recipe", "options", "resolved")
        found = {name: value for record in said for name, value in settings.get(record, {}).items()}
    compute, place = ({field.name for field in fields(kind)} for kind in (Compute, Place))
    free = (compute - set(PRECISIONS)) | place | set(FOUND_ELSEWHERE)
    return {name: value for name, value in found.items() if name not in free}


def shared_by_ranks(
    kept: Mapping[str, Any], device: torch.device, state: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What all ranks of a run have to share: its identity, and beside it what would set them apart.

    kept: the settings as the run keeps them; state: to go on from, if there is one.
    """
    return identity(kept) | {
        "eval_batch_size": kept["data"]["eval_batch_size"],
        "device": device.type,
        "torch": torch.__version__,
        "state to go on from": None if state is None else digest(state["progress"])[:12],
    }


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """What differs in the identity of two runs' settings: name -> (then, now).

    A flag that one of them did not know had its default. Decays of the learning rate that follow from the
    number of epochs are the same as when they are asked for.
    """
    found, sides = {}, [identity(before), identity(now)]
    if is_former(before):
        sides[1] = without_defaults(sides[1])
    lengths = {side.get("epochs") for side in sides}
    if len(lengths) == 1 and (epochs := lengths.pop()) is not None:
        for side in sides:
            if side.get("lr_decay_epochs") is None:
                side["lr_decay_epochs"] = Recipe(epochs=epochs).decay_epochs
    for name in sorted(sides[0].keys() | sides[1].keys()):
        then, current = (side.get(name, defaults.get(name)) for side in sides)
        if then != current:
            found[name] = (then, current)
    return found
