"""Figures for a paper, one command each; --out FILE.png, .pdf or .svg.

python figures.py accuracy RUN...                     test accuracy against epochs, students and ensemble
python figures.py weights RUN                         the ensemble's weights against epochs
python figures.py schedule --epochs 240               the online weight of a synchronous run
python figures.py correlation --path_t T.pth --path_s RUN/kd_last.pth RUN/crd_last.pth
python figures.py cka --path_t T.pth --path_s RUN/kd_last.pth --dataset digits
python figures.py tsne --path_t T.pth --path_s RUN/kd_last.pth --classes 0,1,2,3,4
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helper.arguments import (
    Parser,
    fraction,
    non_negative_int,
    options_of,
    path,
    positive_fraction,
    positive_int,
)
from helper.errors import UserError, run_script
from models import check_model
from modreduce.flags import add_test_data_flags

if TYPE_CHECKING:
    import numpy as np

    from dataset.base import DataSet
    from helper.device import Compute
    from reporting.network_plots import NetworkOutputs

COMPUTE = "helper.device:Compute"
OF_TRAINING = ("precision", "eval_precision", "compile", "cuda_graph")
FEWEST_IMAGES = 4


def parser() -> Parser:
    """The flags of this script."""

    def one(description: str = "", prog: str = "", **_: object) -> Parser:
        made = Parser(description)
        made.prog = prog
        return made

    flags = Parser(__doc__)
    kinds = flags.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=one)
    runs = kinds.add_parser("accuracy", help="curves of runs", description="Test accuracy against epochs.")
    runs.add_argument("runs", nargs="+", type=path, metavar="RUN", help="folders of runs")
    runs.add_argument("--students", nargs="+", default=[], metavar="NAME", help="only these curves")
    weights = kinds.add_parser("weights", help="ensemble weights", description="Ensemble weights of a run.")
    weights.add_argument("run", type=path, metavar="RUN", help="folder of a run")
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
        networks.add_argument("--path_t", type=path, required=True, help="the teacher's checkpoint")
        networks.add_argument("--path_s", type=path, nargs="+", required=True, help="students' checkpoints")
        networks.add_argument("--model_t", help="the teacher's network, where its checkpoint does not say")
        add_test_data_flags(networks)
        networks.add_flags(COMPUTE, "device", without=OF_TRAINING)
        default = {"correlation": None, "cka": 1000, "tsne": 1000}[kind]
        networks.add_argument(
            "--images", type=positive_int, default=default, help="test images (default %(default)s)"
        )
        if kind == "tsne":
            networks.add_argument("--classes", default="0,1,2,3,4,5,6,7,8,9", help="default 0,1,...,9")
            networks.add_argument("--seed", type=non_negative_int, default=1, help="default 1")
    for made in kinds.choices.values():
        made.add_argument("--out", type=path, help="file to write (default KIND.png)")
    return flags


def chosen_images(dataset: "DataSet", images: int | None, classes: str | None) -> "np.ndarray":
    """Which test images to look at: so many of those of the classes, drawn without a bias by their order.

    images: --images, None for all; classes: --classes, None for all. Raises UserError if there are too few.
    """
    import numpy as np

    labels = dataset.test.labels
    places = np.arange(len(labels))
    if classes is not None:
        words = [word.strip() for word in classes.split(",")]
        if not all(word.isdecimal() and int(word) < dataset.num_classes for word in words):
            allowed = f"numbers from 0 to {dataset.num_classes - 1}"
            raise UserError(f"--classes {classes}: allowed are {allowed}, like 0,1,2")
        places = places[np.isin(labels, [int(word) for word in words])]
    if len(places) < FEWEST_IMAGES:
        raise UserError(
            f"there are {len(places)} test images to look at, at least {FEWEST_IMAGES} are needed: choose "
            "more classes"
        )
    count = min(images or len(places), len(places))
    if count < FEWEST_IMAGES:
        raise UserError(f"--images {images}: at least {FEWEST_IMAGES} are needed")
    return np.sort(np.random.default_rng(0).permutation(places)[:count])


def look_at_networks(
    paths: Sequence[Path],
    model_t: str | None,
    values: Mapping[str, Any],
    compute: "Compute",
    images: int | None,
    classes: str | None,
) -> list["NetworkOutputs"]:
    """What teacher and students say of the chosen test images, in float32, each with its own normalisation.

    paths: of the teacher's file and of the students'; values: of the flags that name the data. Prints what
    there is to say of a file.
    """
    from dataset.data import eval_loader, load_test_data
    from engine.facts import normalised_for
    from helper.device import prepare
    from models.checkpoint import read_network
    from modreduce.saved import remarks
    from reporting import curves
    from reporting import network_plots as figures
    from reporting.run_plots import titles

    device, _ = prepare(compute)
    files = [read_network(one, None if place else model_t) for place, one in enumerate(paths)]
    size = files[0].record
    dataset, settings = load_test_data(values, size.image_size, size.resize)
    places = chosen_images(dataset, images, classes)
    seen = []
    for place, file in enumerate(files):
        file.check_classes(dataset.num_classes)
        for remark in remarks(file, dataset):
            print(f"note: {remark}")
        own = normalised_for(dataset, file.record)
        loader = eval_loader(own, dataset.test.take(places), settings, device)
        stem = file.path.stem.removesuffix("_last").removesuffix("_best")
        stem = titles([stem], curves.results_of(file.path.parent))[stem]
        name = f"{file.arch}, {stem}" if place else f"teacher {file.arch}"
        network = file.network_for(dataset.image_size)
        seen.append(figures.network_outputs(network.to(device), name, loader))
    return seen


def figure_of_schedule(epochs: int, first: float, final: float, start: int) -> Any:
    """The online weight against the epochs, growing from `first`, or full from epoch `start` on."""
    from modreduce.schedule import online_weight
    from reporting import curves

    if start >= epochs:
        raise UserError(f"--online_start {start} is not within the {epochs} epochs")
    weights = [online_weight(epoch, epochs, first, final) for epoch in range(epochs)]
    if start:
        weights = [final * (epoch >= start) for epoch in range(epochs)]
    return curves.online_schedule_figure(weights)


def main() -> None:
    args = parser().parse_args()
    if getattr(args, "model_t", None) is not None:
        check_model("--model_t", args.model_t)

    from reporting import curves
    from reporting import style as plot_style

    if args.kind == "accuracy":
        figure = curves.curves_figure(args.runs, args.students)
    elif args.kind == "weights":
        figure = curves.weights_figure(args.run)
        if figure is None:
            raise UserError(f"{args.run} has no ensemble with weights: give a run with --online wavg or one")
    elif args.kind == "schedule":
        figure = figure_of_schedule(
            args.epochs, args.online_weight_start, args.online_weight, args.online_start
        )
    else:
        from helper.device import Compute
        from reporting import network_plots as figures

        classes = args.classes if args.kind == "tsne" else None
        teacher, *students = look_at_networks(
            [args.path_t, *args.path_s],
            args.model_t,
            vars(args),
            Compute(precision="fp32", **options_of(COMPUTE, vars(args))),
            args.images,
            classes,
        )
        if args.kind == "tsne":
            figure = figures.tsne_figure([teacher, *students], args.seed)
        else:
            draw = figures.cka_figure if args.kind == "cka" else figures.correlation_figure
            figure = draw(teacher, students)
    print(plot_style.save(figure, args.out or Path(f"{args.kind}.png")))


if __name__ == "__main__":
    run_script(main)
