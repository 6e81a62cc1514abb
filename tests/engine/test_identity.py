"""What tells two runs apart, and what does not."""

from dataclasses import replace

import pytest

from dataset.data import DataSettings
from engine.optimizer import Recipe
from engine.run_folder import Place
from engine.settings import Settings, differences
from helper.device import Compute

RESOLVED = {"precision": "fp32", "eval_precision": "fp32", "data_sha256": "d", "teacher_sha256": "t"}
DEFAULTS = {"epochs": 240, "learning_rate": None}
SETTINGS = Settings(
    DataSettings(dataset="digits"),
    Recipe(),
    Compute(),
    Place(),
    {"distill": "kd", "beta": None},
    DEFAULTS,
    {},
)


def kept(settings: Settings, **resolved: str) -> dict:
    """The settings as a run keeps them."""
    return settings.nested() | {"resolved": RESOLVED | resolved}


def test_decays_asked_for_are_those_that_follow_from_the_epochs() -> None:
    asked = replace(SETTINGS, recipe=Recipe(lr_decay_epochs=[150, 180, 210]))
    assert differences(kept(SETTINGS), kept(asked), DEFAULTS) == {}
    other = replace(SETTINGS, recipe=Recipe(lr_decay_epochs=[150, 180]))
    assert differences(kept(SETTINGS), kept(other), DEFAULTS).keys() == {"lr_decay_epochs"}


@pytest.mark.parametrize(
    "where",
    [
        {"place": Place(save_folder="elsewhere", resume=True, save_every=0.0, trial="b")},
        {"compute": Compute(device="cuda:1", cuda_graph=True, compile=True, deterministic=True)},
        {"data": DataSettings(dataset="digits", data_folder="elsewhere", eval_batch_size=10)},
    ],
)
def test_where_and_how_it_computes_may_differ(where: dict) -> None:
    assert differences(kept(SETTINGS), kept(replace(SETTINGS, **where)), DEFAULTS) == {}


@pytest.mark.parametrize("name", list(RESOLVED))
def test_precision_data_and_teacher_may_not(name: str) -> None:
    assert differences(kept(SETTINGS), kept(SETTINGS, **{name: "other"}), DEFAULTS).keys() == {name}


def test_a_flag_that_a_run_did_not_know_had_its_default() -> None:
    newer = replace(SETTINGS, options={**SETTINGS.options, "new_flag": 3})
    defaults = DEFAULTS | {"new_flag": 3}
    assert differences(kept(SETTINGS), kept(newer), defaults) == {}
    changed = replace(SETTINGS, options={**SETTINGS.options, "new_flag": 4})
    assert differences(kept(SETTINGS), kept(changed), defaults) == {"new_flag": (3, 4)}
