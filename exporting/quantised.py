"""An ONNX file in 8 bits: onnxruntime's static quantisation, calibrated on training images."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset.split import stratified_indices
from exporting.deployed import INPUT, Deployed, Images, as_pixels
from exporting.formats import quiet
from exporting.onnx_file import ERRORS_ONLY, write_model
from helper.errors import told_in_a_line

FILE = "model_int8.onnx"
FLAG = "--int8"
CALIBRATION_BATCH = 32
SEED = 0  # of which images calibrate


def calibration_images(dataset: Images, count: int) -> list[Tensor]:
    """So many training images in batches (N, 3, H, W), white 1, each class with its share, not augmented.

    Raises UserError for fewer than one per class, and for more than there are.
    """
    part = dataset.train.take(stratified_indices(dataset.train.labels, count, SEED, FLAG))
    loader = as_pixels(dataset).eval_loader(part, batch_size=CALIBRATION_BATCH, device=torch.device("cpu"))
    return [batch.images.contiguous() for batch in loader]


def quantise(network: Deployed, source: Path, batches: Sequence[Tensor], target: Path) -> None:
    """Write a float32 ONNX file again with weights and maps of 8 bits.

    Both are int8, weights with a scale per channel, maps with a scale and a zero each, from their extremes
    over the batches of images: onnxruntime's QDQ format. With unsigned maps sums of products overflow
    silently on x86 processors without VNNI, which took 9 of 95 points from a resnet8 on digits. Raises
    UserError if it cannot be done.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = ({INPUT: batch.numpy()} for batch in batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

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
