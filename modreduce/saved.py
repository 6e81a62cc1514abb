"""Networks and ensembles of files, on the test set of a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dataset.base import DataSet
from dataset.data import DataSettings, eval_loader
from engine.evaluation import Classes, Scores, evaluate
from engine.facts import normalised_for, record_of_data
from engine.run_folder import short_enough
from helper.checkpoint import read_checkpoint
from helper.device import autocast
from helper.errors import UserError
from helper.results import ENSEMBLE
from models.checkpoint import NetworkFile
from models.normalisation import own_normalisation
from modreduce import ensemble_dict
from modreduce.fused import FusedEnsemble, fused_logits
from modreduce.mean import Mean
from modreduce.online import OnlineMethod
from reporting.per_class import PerClass, names_of_classes, write_per_class

ENDS = ("_last", "_best")


def load_ensemble(path: Path, files: Sequence[NetworkFile]) -> tuple[FusedEnsemble, str | None]:
    """The ensemble of a run's ensemble_last.pth for these networks, and what to say of it.

    Raises UserError if it is none, or if the networks are not its students in their order, as far as the
    files say.
    """
    content = read_checkpoint(path)
    kind = ensemble_dict.get(str(content.get("online")))
    whole = content.keys() >= {"num_classes", "state"} and isinstance(content.get("students"), list)
    if kind is None or not issubclass(kind, FusedEnsemble) or not whole:
        raise UserError(
            f"{path} holds no ensemble that can fuse networks (its method: {content.get('online')}): give "
            "a run's ensemble_last.pth, or leave --ensemble out to fuse by the mean"
        )
    students, classes = [str(name) for name in content["students"]], content["num_classes"]
    given = sorted({file.num_classes for file in files})
    if len(students) != len(files) or given != [classes]:
        raise UserError(
            f"{path} fuses {len(students)} students ({', '.join(students)}) of {classes} classes: give "
            f"--path these {len(students)}, in this order, and a data set of {classes} classes (given: "
            f"{len(files)}, {', '.join(map(str, given))})"
        )
    refuse_other_students(path, students, content.get("models"), files)
    ensemble = kind(len(students), classes)
    try:
        ensemble.load_state_dict(content["state"])
        ensemble.free_scale = list(content.get("free_scale", ensemble.free_scale))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} holds weights that do not fit {kind.name} with {len(students)} students and {classes} "
            "classes: give a run's own ensemble_last.pth"
        ) from error
    return ensemble.eval(), other_run(path, content, files)


def refuse_other_students(
    path: Path, students: Sequence[str], models: Sequence[str] | None, files: Sequence[NetworkFile]
) -> None:
    """Raise UserError for the first network that is not the ensemble's student at its place: by its name, if
    that is known, or by its architecture.
    """
    order = f"give --path the networks of {', '.join(students)}, in this order"
    models = models if isinstance(models, list) and len(models) == len(students) else [None] * len(students)
    for place, (student, file) in enumerate(zip(students, files, strict=True)):
        name = student_of(file, students)
        if name is not None and name != student:
            raise UserError(
                f"{path} has {student} as its student {place + 1}, {file.path} is the network of {name}: "
                f"{order}"
            )
        model = models[place]
        # files of version 0.1 know a network that reuses its teacher's classifier by its student's name
        names = (None, file.arch, file.record.arch)  # a user's own file may have another path today
        if model not in names and f"/{model}/" not in file.arch:
            raise UserError(
                f"{path} has a {model} as its student {place + 1} ({student}), {file.path} holds a "
                f"{file.arch}: {order}"
            )


def student_of(file: NetworkFile, students: Sequence[str]) -> str | None:
    """Which student a network is, by what its file says, or by its file's name; None if neither says it."""
    if file.record.student is not None:
        return file.record.student
    stem = file.path.stem
    for end in ENDS:
        stem = stem.removesuffix(end)
    return stem if stem in students else None


def other_run(path: Path, content: dict[str, Any], files: Sequence[NetworkFile]) -> str | None:
    """What to say where a network and the ensemble are of runs with other settings; None where nothing."""
    own = content.get("settings_sha256")
    others = [
        str(file.path) for file in files if own is not None and file.record.settings_sha256 not in (None, own)
    ]
    if not others:
        return None
    return f"{path} was learned with other networks than {', '.join(others)}: these are of another run"


def score_files(
    files: Sequence[NetworkFile],
    ensemble: OnlineMethod | None,
    dataset: DataSet,
    settings: DataSettings,
    device: torch.device,
    precision: str,
    classes: Classes | None = None,
) -> tuple[dict[str, Scores], list[str]]:
    """Scores on the test set of each network by its path, of several fused under 'ensemble', and what to say.

    Each network sees the images with its own normalisation, if its file has one; an ensemble that looks at
    images sees those of the first. classes: is told what each takes every image for, if given. Raises
    UserError if a network has other classes than the data set.
    """
    for file in files:
        file.check_classes(dataset.num_classes)
    if ensemble is None:
        ensemble = (Mean if len(files) > 1 else OnlineMethod)(len(files), dataset.num_classes)
    ensemble = ensemble.eval().to(device)
    seen = normalised_for(dataset, files[0].record)
    networks = [as_seen(file, seen).eval().to(device, memory_format=torch.channels_last) for file in files]
    names = [str(file.path) for file in files]

    def predict(images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        with autocast(device, precision):
            return fused_logits(names, networks, ensemble, images)

    scores, _ = evaluate(predict, eval_loader(seen, dataset.test, settings, device), classes)
    return scores, [said for file in files for said in remarks(file, dataset)]


def as_seen(file: NetworkFile, seen: DataSet) -> nn.Module:
    """The network, behind its own normalisation where the images come with another."""
    own = own_normalisation((seen.mean, seen.std), file.record.normalisation)
    network = file.network_for(seen.image_size)
    return network if own is None else nn.Sequential(own, network)


def remarks(file: NetworkFile, dataset: DataSet) -> list[str]:
    """What to say of a file: where its weights were found, and what it was made for that this data is not."""
    differences = file.record.differences(record_of_data(dataset))
    said = [file.took, f"{file.path}: {differences}" if differences else None]
    return [text for text in said if text is not None]


def write_classes(classes: Classes, paths: Sequence[Path], dataset: DataSet, folder: Path) -> None:
    """Write what the networks of these files take each class for into a folder, as a run does."""
    labels, predicted = classes.arrays()
    called = short_names(paths)
    named = {called.get(name, name): found for name, found in predicted.items()}
    names = names_of_classes(dataset.class_names, dataset.num_classes)
    write_per_class(PerClass(labels, named, names), folder, folder, called.values())


def short_names(paths: Sequence[Path]) -> dict[str, str]:
    """What to call each file, by its path: its name, or all of its path where names are the same."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems) or ENSEMBLE in stems:
        stems = [short_enough(str(path.with_suffix(""))) for path in paths]
    return {str(path): stem for path, stem in zip(paths, stems, strict=True)}
