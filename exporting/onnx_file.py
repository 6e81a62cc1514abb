"""ONNX: written by torch.onnx from the exported program, run by onnxruntime."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from exporting.deployed import BATCH, INPUT, OUTPUT, Deployed
from exporting.formats import Format, Logits, quiet
from exporting.weights import CONFIG, LABELS
from helper.checkpoint import ENTRIES
from helper.errors import UserError, told_in_a_line
from helper.files import write_atomically
from helper.sizes import size_of
from models.record import NetworkRecord

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FLOATS, CHANNELS = "tensor(float)", 3
ERRORS_ONLY = 3  # of onnxruntime's five levels of what it logs


class Onnx(Format):
    """One file with all weights in it, for any number of images, and the network's record as metadata."""

    file = "model.onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    runtime = "onnxruntime"

    def write(self, network: Deployed, folder: Path) -> None:
        program, path = network.program, folder / self.file
        with quiet(), told_in_a_line(f"{network.arch} cannot be written as {self.file}"):
            found = torch.onnx.export(
                program,
                (),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: BATCH}},
                dynamo=True,
                optimize=True,
                verbose=False,
            )
            write_model(found.model_proto, network.record, path)

    def read(self, network: Deployed, folder: Path, threads: int | None = None) -> Logits:
        return runner(session(folder / self.file, threads))


def write_model(model: Any, record: NetworkRecord, path: Path) -> None:
    """Write a checked onnx.ModelProto with the record in its metadata."""
    import onnx

    onnx.checker.check_model(model)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**kept, ENTRIES: json.dumps(record.entries())})
    write_atomically(path, model.SerializeToString())


def session(path: Path, threads: int | None = None) -> "InferenceSession":
    """An ONNX file, ready to run on the CPU, with so many threads.

    Raises UserError if it is none, or takes or gives something else than images and logits.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.add_session_config_entry("session.force_spinning_stop", "1")  # threads that others need too
    with told_in_a_line(f"{path} cannot be read as ONNX"):
        found = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    places = [*found.get_inputs(), *found.get_outputs()]
    shapes = [place.shape for place in places]
    fixed = [side for shape in shapes for side in shape[1:] if isinstance(side, int)]
    logits = [len(shape) for shape in shapes] == [4, 2] and len(fixed) == 4 and fixed[0] == CHANNELS
    if not logits or any(place.type != FLOATS for place in places):
        raise UserError(
            f"{path} takes and gives {', '.join(f'{place.type} {place.shape}' for place in places)}: a "
            "network for pictures takes floats (batch, 3, height, width) of fixed size and gives logits "
            "(batch, classes)"
        )
    return found


def runner(found: "InferenceSession") -> Logits:
    """Logits (N, classes) of images (N, 3, H, W), both on the CPU."""
    (place,) = found.get_inputs()

    def logits(images: Tensor) -> Tensor:
        (values,) = found.run(None, {place.name: images.contiguous().numpy()})
        return torch.from_numpy(values)

    return logits


def record_of(found: "InferenceSession", path: Path) -> NetworkRecord:
    """What is known of a network in an ONNX file: from its metadata, else from config.json beside it; sizes
    are the file's own, and names of classes those in labels.txt where nothing else says them.
    """
    content: Mapping[str, Any] = {}
    if own := found.get_modelmeta().custom_metadata_map.get(ENTRIES):
        content = as_entries(own)
    elif (beside := path.with_name(CONFIG)).is_file():
        content = as_entries(beside.read_text(errors="replace")).get(ENTRIES)
    content = content if isinstance(content, Mapping) else {}
    (_, _, height, width), (_, classes) = found.get_inputs()[0].shape, found.get_outputs()[0].shape
    labels = path.with_name(LABELS)
    if not content.get("class_names") and labels.is_file():
        content = {**content, "class_names": labels.read_text(errors="replace").splitlines()}
    sizes = {"num_classes": classes, "image_size": size_of(height, width)}
    return NetworkRecord.of({**content, **sizes})


def as_entries(text: str) -> dict[str, Any]:
    """A JSON object; an empty one for any other text."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
