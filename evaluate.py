"""Accuracy and loss of checkpoints on the test set: each one, and several fused.

    python evaluate.py --path save/models/resnet56_vanilla/ckpt_epoch_240.pth
    python evaluate.py --path RUN/kd_last.pth RUN/crd_last.pth RUN/semckd_last.pth   # and fused by the mean
    python evaluate.py --path RUN/kd_last.pth RUN/crd_last.pth --ensemble RUN/ensemble_last.pth

--ensemble fuses the networks, in the order of its students, with the weights that a run of train_modreduce.py
learned.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from dataset import dataset_dict, load_dataset
from dataset.data import add_data_arguments, eval_loader
from engine.evaluation import Scores, evaluate
from helper.arguments import Parser
from helper.checkpoint import read_checkpoint
from helper.device import add_device_arguments, autocast, full_precision, resolve, resolve_device
from helper.errors import UserError, run_script
from helper.files import check_folder, write_atomically
from models.checkpoint import load_network
from modreduce.build import load_ensemble


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--path", type=Path, nargs="+", required=True, help="checkpoints of networks")
    flags.add_argument("--model", help="their network, where the checkpoints do not say")
    flags.add_argument(
        "--ensemble", type=Path, help="a run's ensemble_last.pth (default: the mean of the logits)"
    )
    flags.add_argument("--json", type=Path, help="write the scores there too")
    add_data_arguments(flags, dataset_dict, training=False)
    add_device_arguments(flags)
    return flags


def main() -> None:
    args = parser().parse_args()
    if args.json:
        check_folder(args.json.parent, "--json")
        if args.json.is_dir():
            raise UserError(f"--json: {args.json} is a folder: name a file in it")
    if len({path.absolute() for path in args.path}) < len(args.path):
        raise UserError("--path names a checkpoint twice: name each one once")
    device = resolve_device(args.device)
    precision = resolve(args.precision, device)
    dataset = load_dataset(args.dataset, args.data_folder)
    networks, names = [], []
    for path in args.path:
        network, name, _ = load_network(path, dataset.num_classes, args.model)
        networks.append(network.eval().to(device, memory_format=torch.channels_last))
        names.append(f"{path} ({name})")
    ensemble = None
    if args.ensemble:
        content = read_checkpoint(args.ensemble)
        ensemble = load_ensemble(content, str(args.ensemble), len(networks), dataset.num_classes).to(device)

    def predict(images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        with autocast(device, precision):
            logits = [network(images).float() for network in networks]
        named = dict(zip(names, logits, strict=True))
        with full_precision(device.type):
            if ensemble is not None:
                return named | {
                    f"fused by {args.ensemble}": ensemble.combine(torch.stack(logits), images)[0]
                }, None
            if len(logits) > 1:
                return named | {"fused by their mean": torch.stack(logits).mean(dim=0)}, None
        return named, None

    loader = eval_loader(dataset, dataset.test_images, dataset.test_labels, device)
    scores, _ = evaluate(predict, loader)
    print(as_table(scores, args))
    if args.json:
        entries = {
            name: dict(zip(("test_loss", "test_acc", "test_acc_top5"), s, strict=True))
            for name, s in scores.items()
        }
        write_atomically(args.json, json.dumps({"dataset": args.dataset, "scores": entries}, indent=2) + "\n")


def as_table(scores: dict[str, Scores], args: argparse.Namespace) -> str:
    """One line per network or ensemble."""
    width = max(len(name) for name in scores)
    lines = [f"{args.dataset + ', test set':<{width}}  {'top-1':>9}  {'top-5':>9}  {'loss':>8}"]
    lines += [f"{n:<{width}}  {s.top1:>7.2f} %  {s.top5:>7.2f} %  {s.loss:>8.4f}" for n, s in scores.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
