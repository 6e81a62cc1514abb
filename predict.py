"""Write which classes a network sees in the pictures of a folder, and in those below it, to a CSV.

    python predict.py FOLDER --path RUN/crd_best.pth
    python predict.py FOLDER --path shipped/model.onnx --top 1 --out classes.csv
    python predict.py FOLDER --path shipped --workers 8 --skip_broken

--path is a checkpoint, a folder that export.py left, or an ONNX file. Pictures are brought to the network's
size as in its evaluation. The columns are file, class, probability, class_2, probability_2, ...
"""

from pathlib import Path

from helper.arguments import Parser, non_negative_int, path, positive_int
from helper.errors import UserError, run_script
from helper.files import check_folder, write_atomically
from models import check_model

COMPUTE = "helper.device:Compute"
ONLY_OF_TRAINING = ("precision", "eval_precision", "deterministic", "compile", "cuda_graph")


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("folder", type=path, metavar="FOLDER", help="where the pictures are")
    flags.add_argument("--path", type=path, required=True, help="the network")
    flags.add_argument("--model", help="its name, where a checkpoint does not say it")
    flags.add_argument("--out", type=path, default=Path("predictions.csv"), help="(default predictions.csv)")
    flags.add_argument(
        "--top", type=positive_int, default=5, metavar="K", help="classes a picture (default 5)"
    )
    flags.add_argument("--batch_size", type=positive_int, default=64, help="pictures at once (default 64)")
    flags.add_argument(
        "--workers",
        type=non_negative_int,
        help="processes that read pictures; 0: this one (default: the cores, at most 8)",
    )
    flags.add_argument("--skip_broken", action="store_true", help="leave out pictures that cannot be read")
    flags.add_flags(COMPUTE, "device", without=ONLY_OF_TRAINING)
    return flags


def main() -> None:
    args = parser().parse_args()
    check_folder(args.out.parent, "--out")
    if args.out.is_dir():
        raise UserError(f"--out: {args.out} is a folder: name a file in it")
    if args.model is not None:
        check_model("--model", args.model)

    from exporting.pictures import find_pictures
    from exporting.predict import as_csv, counted, guesses, open_network, tell_broken

    files = find_pictures(args.folder)
    reader = open_network(args.path, args.model, args.device)
    found, broken = guesses(
        reader, args.folder, files, args.top, args.batch_size, args.workers, args.skip_broken
    )
    if not found:
        raise UserError(
            f"none of the {len(files)} pictures of {args.folder} can be read, the first is {files[0]}"
        )
    write_atomically(args.out, as_csv(found))
    tell_broken(broken, len(files))
    if reader.note:
        print(f"note: {reader.note}")
    print(f"{args.out}: {len(found)} pictures: {counted(found)}")


if __name__ == "__main__":
    run_script(main)
