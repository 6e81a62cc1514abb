"""Accuracy and loss of checkpoints on the test set: each one, and several fused.

    python evaluate.py --path save/models/resnet56_vanilla/ckpt_epoch_240.pth
    python evaluate.py --path RUN/kd_last.pth RUN/crd_last.pth RUN/semckd_last.pth   # and fused by the mean
    python evaluate.py --path RUN/kd_last.pth RUN/crd_last.pth --ensemble RUN/ensemble_last.pth

--ensemble fuses the networks, in the order of its students, with the weights that a run of train_modreduce.py
learned. Networks are evaluated in float32 unless --precision asks for something else, and with the
normalisation that their files say they were trained with.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from helper.arguments import Parser, options_of, path
from helper.errors import UserError, run_script
from helper.files import check_folder, write_atomically
from models import check_model
from modreduce.flags import add_test_data_flags

if TYPE_CHECKING:
    from engine.evaluation import Scores

COMPUTE = "helper.device:Compute"
OF_TRAINING = ("eval_precision", "compile", "cuda_graph")
PRECISIONS = ("fp32", "bf16", "auto")


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--path", type=path, nargs="+", required=True, help="checkpoints of networks")
    flags.add_argument("--model", help="their network, where the checkpoints do not say")
    flags.add_argument(
        "--ensemble", type=path, help="a run's ensemble_last.pth (default: the mean of the logits)"
    )
    flags.add_argument("--json", type=path, help="write the scores there too")
    add_test_data_flags(flags)
    flags.add_flags(COMPUTE, "device", without=(*OF_TRAINING, "precision"))
    flags.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="of the networks (default fp32, as in a run)"
    )
    return flags


def main() -> None:
    args = parser().parse_args()
    if args.json:
        check_folder(args.json.parent, "--json")
        if args.json.is_dir():
            raise UserError(f"--json: {args.json} is a folder: name a file in it")
    if len({one.absolute() for one in args.path}) < len(args.path):
        raise UserError("--path names a checkpoint twice: name each one once")
    if args.model is not None:
        check_model("--model", args.model)

    from dataset.data import load_test_data
    from helper.device import Compute, device_name, prepare
    from helper.results import DIGITS
    from models.checkpoint import read_network
    from modreduce.saved import load_ensemble, score_files

    device, precision = prepare(Compute(**options_of(COMPUTE, vars(args))))
    files = [read_network(one, args.model) for one in args.path]
    ensemble, of_ensemble = load_ensemble(args.ensemble, files) if args.ensemble else (None, None)
    made_for = files[0].record
    dataset, settings = load_test_data(vars(args), made_for.image_size, made_for.resize)
    scores, notes = score_files(files, ensemble, dataset, settings, device, precision)
    for note in (*notes, *([of_ensemble] if of_ensemble else [])):
        print(f"note: {note}")
    names = {str(file.path): f"{file.path} ({file.arch})" for file in files}
    names["ensemble"] = f"fused by {args.ensemble or 'their mean'}"
    named = {names[name]: score for name, score in scores.items()}
    head = f"{settings.dataset}, test set, {precision} on {device_name(device)}"
    print(f"{head}\n{as_table(named)}")
    if args.json:
        entries = {
            name: {
                key: float(f"{value:.{DIGITS}g}")
                for key, value in zip(("test_loss", "test_acc", "test_acc_top5"), score, strict=True)
            }
            for name, score in named.items()
        }
        about = {"dataset": settings.dataset, "device": device_name(device), "precision": precision}
        write_atomically(args.json, json.dumps({**about, "scores": entries}, indent=2) + "\n")


def as_table(scores: Mapping[str, "Scores"]) -> str:
    """One line per network or ensemble."""
    width = max(len(name) for name in scores)
    lines = [f"{'':<{width}}  {'top-1':>9}  {'top-5':>9}  {'loss':>8}"]
    lines += [f"{n:<{width}}  {s.top1:>7.2f} %  {s.top5:>7.2f} %  {s.loss:>8.4f}" for n, s in scores.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
