"""Figures for a paper, one command each; --out FILE.png, .pdf or .svg.

python figures.py accuracy RUN...                     test accuracy against epochs, students and ensemble
python figures.py weights RUN                         the ensemble's weights against epochs
python figures.py schedule --epochs 240               the online weight of a synchronous run
python figures.py correlation --path_t T.pth --path_s RUN/kd_last.pth RUN/crd_last.pth
python figures.py cka --path_t T.pth --path_s RUN/kd_last.pth --dataset digits
python figures.py tsne --path_t T.pth --path_s RUN/kd_last.pth --classes 0,1,2,3,4
"""

import argparse
from pathlib import Path

import numpy as np

from dataset import dataset_dict, load_dataset
from dataset.base import DataSet
from dataset.data import add_data_arguments, eval_loader
from helper.arguments import Parser, fraction, non_negative_int, positive_fraction, positive_int
from helper.device import resolve_device
from helper.errors import UserError, run_script
from models.checkpoint import load_network
from modreduce.schedule import online_weight
from reporting import curves
from reporting import network_plots as figures
from reporting import style as plot_style
from reporting.run_plots import titles


def parser() -> Parser:
    """The flags of this script."""

    def one(description: str = "", prog: str = "", **_: object) -> Parser:
        made = Parser(description)
        made.prog = prog
        return made

    flags = Parser(__doc__)
    kinds = flags.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=one)
    runs = kinds.add_parser("accuracy", help="curves of runs", description="Test accuracy against epochs.")
    runs.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    runs.add_argument("--students", nargs="+", default=[], metavar="NAME", help="only these curves")
    weights = kinds.add_parser("weights", help="ensemble weights", description="Ensemble weights of a run.")
    weights.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    schedule = kinds.add_parser("schedule", help="online weight", description="Weight of the online loss.")
    schedule.add_argument("--epochs", type=positive_int, default=240, help="default 240")
    schedule.add_argument("--online_weight_start", type=positive_fraction, default=0.01, help="default 0.01")
    schedule.add_argument("--online_weight", type=fraction, default=0.7, help="default 0.7")
    schedule.add_argument("--online_start", type=non_negative_int, default=0, help="0: synchronous (default)")
    helps = {
        "correlation": "class correlations of logits",
        "cka": "similarity of layers",
        "tsne": "embeddings",
    }
    for kind, text in helps.items():
        networks = kinds.add_parser(kind, help=text, description=f"Student against teacher: {text}.")
        networks.add_argument("--path_t", type=Path, required=True, help="the teacher's checkpoint")
        networks.add_argument("--path_s", type=Path, nargs="+", required=True, help="students' checkpoints")
        networks.add_argument("--model_t", help="the teacher's network, where its checkpoint does not say")
        networks.add_argument("--device", default="auto", help="default auto")
        add_data_arguments(networks, dataset_dict, training=False)
        default = {"correlation": None, "cka": 1000, "tsne": 1000}[kind]
        networks.add_argument(
            "--images", type=positive_int, default=default, help="test images (default %(default)s)"
        )
        if kind == "tsne":
            networks.add_argument("--classes", default="0,1,2,3,4,5,6,7,8,9", help="default 0,1,...,9")
            networks.add_argument("--seed", type=non_negative_int, default=1, help="default 1")
    for made in kinds.choices.values():
        made.add_argument("--out", type=Path, help="file to write (default KIND.png)")
    return flags


def chosen_images(args: argparse.Namespace, dataset: DataSet) -> np.ndarray:
    """Which test images to look at: --images of those of --classes, drawn without a bias by their order."""
    labels = dataset.test_labels
    places = np.arange(len(labels))
    if args.kind == "tsne":
        words = [word.strip() for word in args.classes.split(",")]
        if not all(word.isdecimal() and int(word) < dataset.num_classes for word in words):
            allowed = f"numbers from 0 to {dataset.num_classes - 1}"
            raise UserError(f"--classes {args.classes}: allowed are {allowed}, like 0,1,2")
        places = places[np.isin(labels, [int(word) for word in words])]
    if len(places) < 4:
        raise UserError(
            f"there are {len(places)} test images to look at, at least 4 are needed: choose more classes"
        )
    count = min(args.images or len(places), len(places))
    if count < 4:
        raise UserError(f"--images {args.images}: at least 4 are needed")
    return np.sort(np.random.default_rng(0).permutation(places)[:count])


def look_at_networks(args: argparse.Namespace) -> list[figures.NetworkOutputs]:
    """What teacher and students say of the chosen test images."""
    device = resolve_device(args.device)
    dataset = load_dataset(args.dataset, args.data_folder)
    places = chosen_images(args, dataset)
    loader = eval_loader(dataset, dataset.test_images[places], dataset.test_labels[places], device)
    seen = []
    for place, path in enumerate([args.path_t, *args.path_s]):
        network, arch, _ = load_network(path, dataset.num_classes, args.model_t if place == 0 else None)
        stem = path.stem.removesuffix("_last").removesuffix("_best")
        stem = titles([stem], curves.results_of(path.parent))[stem]
        name = f"teacher {arch}" if place == 0 else f"{arch}, {stem}"
        seen.append(figures.network_outputs(network.to(device), name, loader))
    return seen


def main() -> None:
    args = parser().parse_args()
    if args.kind == "accuracy":
        figure = curves.curves_figure(args.runs, args.students)
    elif args.kind == "weights":
        figure = curves.weights_figure(args.run)
        if figure is None:
            raise UserError(f"{args.run} has no ensemble with weights: give a run with --online wavg or one")
    elif args.kind == "schedule":
        if args.online_start >= args.epochs:
            raise UserError(f"--online_start {args.online_start} is not within the {args.epochs} epochs")
        weights = [
            online_weight(e, args.epochs, args.online_weight_start, args.online_weight)
            for e in range(args.epochs)
        ]
        if args.online_start:
            weights = [args.online_weight * (e >= args.online_start) for e in range(args.epochs)]
        figure = curves.online_schedule_figure(weights)
    else:
        teacher, *students = look_at_networks(args)
        if args.kind == "tsne":
            figure = figures.tsne_figure([teacher, *students], args.seed)
        else:
            draw = figures.cka_figure if args.kind == "cka" else figures.correlation_figure
            figure = draw(teacher, students)
    print(plot_style.save(figure, args.out or Path(f"{args.kind}.png")))


if __name__ == "__main__":
    run_script(main)
