"""The flags that the training scripts share, with the field's names."""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

from helper.arguments import fraction, non_negative_float, non_negative_int, positive_float, positive_int
from helper.errors import UserError
from helper.precision import PRECISIONS

SLOW_LEARNERS = ("MobileNetV2", "ShuffleV1", "ShuffleV2")
LONGEST_TRIAL_NAME = 60


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the script's docstring as its help."""

    def __init__(self, description: str | None):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str):
        """Raise UserError instead of printing the usage."""
        raise UserError(f"{message} (see {Path(sys.argv[0]).name} --help)")


def file_name(text: str) -> str:
    """A word that can stand in a folder's name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text) or len(text) > LONGEST_TRIAL_NAME:
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be part of a folder's name: use letters, digits, '_', '-', '.', "
            f"at most {LONGEST_TRIAL_NAME}"
        )
    return text


def epoch_list(text: str) -> list[int]:
    """Epochs like 150,180,210, in growing order."""
    try:
        epochs = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        epochs = [0]
    if any(epoch < 1 for epoch in epochs) or epochs != sorted(set(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of growing epochs from 1, like 150,180,210")
    return epochs


def add_data_arguments(parser: Parser, dataset_names: Iterable[str], training: bool = True) -> None:
    """--dataset and where it is; for training also batch size, slice and validation split."""
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", default="cifar100", choices=list(dataset_names), help="default cifar100")
    group.add_argument(
        "--data_folder", type=Path, default=Path("data"), help="where the data set is (default data)"
    )
    if not training:
        return
    group.add_argument("--batch_size", type=positive_int, default=64, help="images per step (default 64)")
    group.add_argument(
        "--val_split",
        type=fraction,
        default=0.0,
        help="part of the training set held out to select the best epoch (default 0: the test set selects)",
    )
    group.add_argument(
        "--train_size", type=positive_int, metavar="N", help="train on a fixed stratified slice of N images"
    )


def add_training_arguments(parser: Parser, epochs: int = 240) -> None:
    """Length of the run, optimizer and learning rate."""
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=positive_int, default=epochs, help=f"default {epochs}")
    group.add_argument(
        "--learning_rate",
        type=positive_float,
        help=f"default 0.05, and 0.01 for {', '.join(SLOW_LEARNERS)}",
    )
    group.add_argument(
        "--lr_decay_epochs",
        type=epoch_list,
        metavar="E,E,...",
        help="epochs after which the rate is decayed (default 150,180,210 of 240, in proportion)",
    )
    group.add_argument(
        "--lr_decay_rate", type=positive_float, default=0.1, help="factor of a decay (default 0.1)"
    )
    group.add_argument("--weight_decay", type=non_negative_float, default=5e-4, help="default 5e-4")
    group.add_argument("--momentum", type=fraction, default=0.9, help="default 0.9")
    group.add_argument(
        "--clip_grad",
        type=non_negative_float,
        default=0.0,
        metavar="NORM",
        help="clip each student's gradient to this norm (default 0: off)",
    )


def add_run_arguments(parser: Parser) -> None:
    """Seed, names, device, precision, and how to go on."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--seed", type=non_negative_int, default=1, help="of everything that is random (default 1)"
    )
    group.add_argument(
        "--trial", type=file_name, default="1", help="names the run, changes nothing (default 1)"
    )
    group.add_argument(
        "--save_folder", type=Path, default=Path("save"), help="root of all runs (default save)"
    )
    group.add_argument("--resume", action="store_true", help="go on where the same command was stopped")
    add_device_arguments(parser)
    group.add_argument(
        "--deterministic", action="store_true", help="the same bits at every run on a GPU too (slower)"
    )
    group.add_argument(
        "--compile", action="store_true", help="compile networks and methods with torch.compile"
    )
    group.add_argument(
        "--cuda_graph",
        action="store_true",
        help="replay the whole step as one CUDA graph, students side by side",
    )


def add_device_arguments(parser: Parser) -> None:
    """--device and --precision."""
    group = parser.add_argument_group("device")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    group.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="auto: bf16 convolutions where the hardware has them, losses always in fp32 (default auto)",
    )


def add_teacher_arguments(parser: Parser, many_students: bool = False) -> None:
    """The teacher, and the weights of the losses; with many students beta may be one number per student."""
    group = parser.add_argument_group("distillation")
    group.add_argument("--path_t", type=Path, required=True, help="the teacher's checkpoint")
    group.add_argument("--model_t", help="its network, where the checkpoint does not say")
    group.add_argument(
        "-r", "--gamma", type=non_negative_float, default=1.0, help="weight of cross-entropy (default 1)"
    )
    group.add_argument("-a", "--alpha", type=non_negative_float, default=1.0, help="weight of KD (default 1)")
    group.add_argument(
        "-b",
        "--beta",
        type=non_negative_float,
        nargs="+" if many_students else None,
        help="weight of the method (default: the method's own)",
    )
    group.add_argument("--kd_T", type=positive_float, default=4.0, help="temperature of KD (default 4)")


def learning_rate_of(args: argparse.Namespace, model_name: str) -> float:
    """--learning_rate, or the recipe's for that network."""
    if args.learning_rate is not None:
        return args.learning_rate
    return 0.01 if model_name in SLOW_LEARNERS else 0.05


def decay_epochs(args: argparse.Namespace) -> list[int]:
    """--lr_decay_epochs, or 150, 180 and 210 of 240 in proportion to --epochs."""
    if args.lr_decay_epochs is not None:
        return args.lr_decay_epochs
    return [round(args.epochs * part) for part in (150 / 240, 180 / 240, 210 / 240)]


def resolve_device(name: str) -> torch.device:
    """The torch device of --device; UserError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name} is unknown: allowed are auto, cpu, cuda, cuda:0, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name} is not supported: allowed are auto, cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: this machine has no CUDA GPU that torch can use; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    return device
