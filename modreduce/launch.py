"""From parsed flags to a finished run: the one order in which all training scripts do things.

What is cheap to check comes first: names and folders, then the teacher's file, then the data, and nothing is
written before everything has been found to fit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dataset import is_pictures
from dataset.data import load_data
from engine.run import train
from engine.run_folder import RunFolder
from engine.settings import Settings
from helper.arguments import Parser
from helper.device import prepare
from helper.errors import UserError
from helper.results import Results
from modreduce.build import build_group
from modreduce.student import StudentPlan
from modreduce.teacher import check_teacher, load_teacher, teacher_file

# flags that say nothing where they ask for what a method was published with
WEIGHTS = ("gamma", "alpha", "beta", "multiplier")
# a run's name and the one it had in version 0.1, by the teacher's
Names = Callable[[str], Sequence[str]]


def launch(
    script: str,
    flags: Parser,
    values: Mapping[str, Any],
    names: Names,
    plans: Callable[[str, Mapping[str, Any]], list[StudentPlan]],
    online: str = "none",
) -> tuple[RunFolder, Results]:
    """Train what the plans say, and return the run's folder and results.

    values: of all flags; names, plans: of the teacher's network's name, which its file may say;
    '' without teacher.
    """
    settings = Settings.of(values, flags.defaults(values), flags.owners)
    if settings.recipe.optimizer == "dot" and settings.compute.compile:
        raise UserError(
            "--optimizer dot goes through the graph twice, which --compile forbids: leave one out"
        )
    file = None
    if values.get("path_t") is not None:
        file = teacher_file(values["path_t"], values["model_t"])
    arch = "" if file is None else file.arch
    planned = plans(arch, values)
    default = {name: None for name in WEIGHTS if name in values}
    if plans(arch, {**values, **default}) == planned:  # weights asked for that are the published ones
        settings = replace(settings, options={**settings.options, **default})
    run = RunFolder(settings.place, script, *names(arch))
    device, precision = prepare(settings.compute)
    pictures = settings.pictures
    if file is None and pictures.unlabelled is not None:
        raise UserError(
            f"--unlabelled {pictures.unlabelled}: nobody teaches on pictures without labels here: leave it "
            "out, or "
            "name a teacher"
        )
    if file is not None and is_pictures(settings.data.dataset):
        pictures = pictures.sized_as(file.record.image_size, file.record.resize)
    data = load_data(settings.data, settings.recipe.seed, pictures)
    teacher, notes = None, []
    if file is not None:
        teacher, notes = load_teacher(file, data.dataset, values.get("taps_t"))
    results = train(
        run,
        settings,
        data,
        lambda: build_group(planned, teacher, online, data, settings, device, precision),
        device=device,
        precision=precision,
        teacher=None if teacher is None else teacher.name,
        teacher_sha256=None if file is None else file.sha256(),
        warn_of_teacher=lambda accuracy: check_teacher(accuracy, data.num_classes),
        notes=notes,
    )
    return run, results
