"""What networks are made for: the record of a data set, and that of a run's networks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from dataset.base import DataSet
from dataset.data import Data
from engine.settings import Settings, identity
from helper.provenance import PROJECT_VERSION
from models.record import NetworkRecord
from models.tapped import tap_names


def record_of_data(dataset: DataSet) -> NetworkRecord:
    """What a network's file says of the data set that it was made for, but for the data's hash."""
    return NetworkRecord(
        num_classes=dataset.num_classes,
        image_size=dataset.image_size,
        resize=dataset.resize,
        mean=tuple(dataset.mean),
        std=tuple(dataset.std),
        class_names=tuple(dataset.class_names) if dataset.class_names else None,
        dataset=dataset.name,
    )


def facts_of(data: Data, settings: Settings, kept: Mapping[str, Any]) -> NetworkRecord:
    """What the files of a run's networks have in common.

    kept: the settings as the run keeps them, with what they came to.
    """
    return replace(
        record_of_data(data.dataset),
        epochs=settings.recipe.epochs,
        data_sha256=kept["resolved"]["data_sha256"],
        settings_sha256=hashlib.sha256(json.dumps(identity(kept), sort_keys=True).encode()).hexdigest(),
        changed=settings.changed(),
        precision=kept["resolved"]["eval_precision"],
        version=PROJECT_VERSION,
    )


def normalised_for(dataset: DataSet, record: NetworkRecord) -> DataSet:
    """The data set with the normalisation that a network brings with it, if it brings one."""
    if record.normalisation is None:
        return dataset
    mean, std = record.normalisation
    return replace(dataset, mean=mean, std=std)


def content_of(
    student: Any,
    facts: NetworkRecord,
    row: Mapping[str, Any],
    average: nn.Module | None = None,
    decay: float | None = None,
) -> dict[str, Any]:
    """A student's checkpoint in the published teachers' format, for a row of metrics.csv.

    facts: what a run's files have in common; average, decay: the moving average of its network, if that is
    to be kept.
    """
    record = replace(
        facts,
        arch=student.plan.arch,
        student=student.plan.name,
        epoch=row["epoch"],
        accuracy=row["test_acc" if average is None else "test_acc_ema"],
        taps=tap_names(student.network),
        small_stem=student.plan.small_stem or None,
        ema=decay,
    )
    return record.content(student.network if average is None else average)
