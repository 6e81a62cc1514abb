"""Write a trained network in formats that other programs run, hold each to it, and say what it costs.

    python export.py --path RUN/crd_best.pth --out shipped
    python export.py --path RUN/crd_best.pth --teacher T.pth --dataset digits --int8 256 --out shipped
    python export.py --path RUN/crd_best.pth --formats onnx --no_latency --out shipped

What is written takes images (N, 3, H, W) with black 0 and white 1: the normalisation is inside, but for
model.safetensors, whose config.json says it. Nothing stays behind if a format differs from the network by
more than 1e-4 of the largest logit or, with --dataset, in the class of a test image.
"""

from collections.abc import Sequence

from dataset import dataset_names
from exporting import formats_dict
from helper.arguments import Parser, path, positive_int
from helper.errors import UserError, run_script
from helper.files import check_new_folder
from helper.packages import INSTALL, missing, require
from helper.signature import class_constant
from models import check_model
from modreduce.flags import OF_PICTURES, OF_TRAINING, PICTURES, RECORDS

QUANTISED = "onnx"  # the format that --int8 writes again


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--path", type=path, required=True, help="the network's checkpoint")
    flags.add_argument("--model", help="its network, where the checkpoint does not say")
    flags.add_argument("--out", type=path, required=True, metavar="FOLDER", help="a new or empty folder")
    flags.add_argument(
        "--formats", nargs="+", choices=list(formats_dict), help="default: all whose packages are installed"
    )
    flags.add_argument(
        "--int8", type=positive_int, metavar="N", help="ONNX in 8 bits too, calibrated on N training images"
    )
    flags.add_argument("--teacher", type=path, help="a checkpoint to compare the network's cost with")
    flags.add_argument("--model_t", help="its network, where the checkpoint does not say")
    flags.add_argument("--no_latency", action="store_true", help="time nothing")
    flags.add_argument("--dataset", choices=dataset_names, help="measure the accuracy on its test set")
    flags.add_flags(RECORDS["data"], "data", without=(*OF_TRAINING, "dataset"))
    flags.add_flags(PICTURES, OF_PICTURES, without=OF_TRAINING)
    return flags


def formats(asked: Sequence[str] | None, int8: bool) -> tuple[list[str], str | None]:
    """The formats to write, in their order, and what to say of those that cannot be.

    Raises UserError if a package is missing for one that is asked for.
    """
    needed = {name: class_constant(formats_dict.owner(name), "packages") or () for name in formats_dict}
    if int8 and QUANTISED not in (asked or needed):
        raise UserError(f"--int8 writes the ONNX file again: name {QUANTISED} in --formats too")
    for name in (*(asked or ()), *([QUANTISED] if int8 else [])):
        require(needed[name], f"--formats {name}")
    found = [name for name in needed if (name in asked if asked else not missing(needed[name]))]
    left_out = [name for name in needed if not asked and name not in found]
    if not left_out:
        return found, None
    absent = ", ".join(missing(package for name in left_out for package in needed[name]))
    return found, f"not written: {', '.join(left_out)} (missing: {absent}; {INSTALL})"


def main() -> None:
    args = parser().parse_args()
    check_new_folder(args.out, "--out")
    for flag, name in (("--model", args.model), ("--model_t", args.model_t)):
        if name is not None:
            check_model(flag, name)
    if args.model_t is not None and args.teacher is None:
        raise UserError("--model_t names the network of --teacher: give that too, or leave it out")
    if args.int8 is not None and args.dataset is None:
        raise UserError("--int8 is calibrated on training images: name their data set with --dataset")
    names, note = formats(args.formats, args.int8 is not None)

    from dataset.data import load_test_data
    from engine.facts import record_of_data
    from exporting.deployed import deployed
    from exporting.write import Data, export
    from models.checkpoint import read_network

    paths = [(args.path, args.model), (args.teacher, args.model_t)]
    files = [read_network(path, model) for path, model in paths if path is not None]
    dataset = data = None
    if args.dataset is not None:
        made_for = files[0].record
        dataset, settings = load_test_data(vars(args), made_for.image_size, made_for.resize)
        data = Data(dataset, settings, args.int8)
    network, *teacher = (deployed(file, dataset) for file in files)
    print(export(network, next(iter(teacher), None), names, data, args.out, not args.no_latency))
    notes: list[str | None] = []
    for file in files:
        differences = file.record.differences(record_of_data(dataset)) if dataset else None
        notes += [file.took, f"{file.path}: {differences}" if differences else None]
    for said in filter(None, [*notes, note]):
        print(f"note: {said}")


if __name__ == "__main__":
    run_script(main)
