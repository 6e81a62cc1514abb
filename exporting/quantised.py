"""An ONNX file in 8 bits: onnxruntime's static quantisation, calibrated on training images."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset.base import DataSet
from dataset.split import stratified_indices
from exporting.deployed import INPUT, Deployed
from exporting.formats import quiet
from exporting.onnx_file import ERRORS_ONLY, write_model
from helper.errors import told_in_a_line

FILE = "model_int8.onnx"
FLAG = "--int8"
CALIBRATION_BATCH = 32
SEED = 0  # of which images calibrate


def calibration_images(dataset: DataSet, count: int) -> np.ndarray:
    """So many training images (n, H, W, 3) uint8, each class with its share.

    Raises UserError for fewer than one per class, and for more than there are.
    """
    return dataset.train_images[stratified_indices(dataset.train_labels, count, SEED, FLAG)]


def quantise(network: Deployed, source: Path, images: np.ndarray, target: Path) -> None:
    """Write a float32 ONNX file again with weights and maps of 8 bits.

    Both are int8, weights with a scale per channel, maps with a scale and a zero each, from their extremes
    over the images (n, H, W, 3) uint8: onnxruntime's QDQ format. With unsigned maps sums of products overflow
    silently on x86 processors without VNNI, which took 9 of 95 points from a resnet8 on digits. Raises
    UserError if it cannot be done.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = batches(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({INPUT: batch.numpy()} for batch in self.batches), None)

    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    with (
        quiet(),
        tempfile.TemporaryDirectory() as place,
        told_in_a_line(f"{network.arch} cannot be quantised"),
    ):
        prepared, written = Path(place) / "prepared.onnx", Path(place) / FILE
        quant_pre_process(source, prepared)
        quantize_static(
            prepared,
            written,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
        )
        write_model(onnx.load(written), network.record, target)


def batches(images: np.ndarray) -> Iterator[Tensor]:
    """Images (n, H, W, 3) uint8 as batches (N, 3, H, W), white 1."""
    for start in range(0, len(images), CALIBRATION_BATCH):
        yield as_images(images[start : start + CALIBRATION_BATCH])


def as_images(pixels: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 as (N, 3, H, W) float32, white 1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div(255).contiguous()
