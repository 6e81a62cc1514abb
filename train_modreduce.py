"""ModReduce: one teacher trains several students, each by another kind of knowledge, and they learn from each
other.

    python train_modreduce.py --path_t save/models/resnet32x4_vanilla/ckpt_epoch_240.pth --model_s resnet8x4
    python train_modreduce.py --path_t T.pth --model_s resnet20 --distill kd rkd fitnet --online one
    python train_modreduce.py --path_t T.pth --model_s resnet20 vgg8 ShuffleV2 --online pcl
    python train_modreduce.py --path_t T.pth --model_s resnet20 --online wavg --online_start 220   # late
    python train_modreduce.py --path_t T.pth --model_s resnet20 --online none   # three baselines in a pass

The run's folder is save/train_modreduce/<name>; the same command with --resume goes on where it was stopped.
"""

from dataset import dataset_dict
from dataset.data import add_data_arguments, load_data
from distiller_zoo import distiller_dict
from engine.optimizer import add_training_arguments
from engine.run import finished_already, run_experiment
from engine.run_folder import RunFolder, add_run_arguments
from helper.arguments import (
    Parser,
    fraction,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_fraction,
)
from helper.device import prepare_device, resolve_device
from helper.errors import UserError, run_script
from helper.results import table
from modreduce import ensemble_dict
from modreduce.build import add_teacher_arguments, build_group, plan_students
from modreduce.teacher import load_teacher


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument(
        "--model_s", nargs="+", required=True, metavar="NAME", help="one network, or one per student"
    )
    flags.add_argument(
        "--distill",
        nargs="+",
        default=["kd", "crd", "semckd"],
        choices=list(distiller_dict),
        metavar="METHOD",
        help=f"one student per method: {', '.join(distiller_dict)}; repeats allowed (kd crd semckd)",
    )
    add_teacher_arguments(flags, many_students=True)
    group = flags.add_argument_group("online learning")
    group.add_argument("--online", default="wavg", choices=list(ensemble_dict), help="default wavg")
    group.add_argument(
        "--online_start", type=non_negative_int, default=0, metavar="EPOCH", help="0: synchronous (default)"
    )
    group.add_argument("--online_weight", type=fraction, default=0.7, help="its largest size (default 0.7)")
    group.add_argument(
        "--online_weight_start",
        type=positive_fraction,
        default=0.01,
        help="where a synchronous run starts (default 0.01)",
    )
    group.add_argument(
        "--multiplier",
        nargs="+",
        type=non_negative_float,
        metavar="M",
        help="factor of the offline loss, one or one per student (default: the method's own)",
    )
    group.add_argument(
        "--ensemble_lr", type=positive_float, default=0.1, help="of what the ensemble learns (default 0.1)"
    )
    for method in ensemble_dict.values():
        method.add_arguments(group)
    methods = flags.add_argument_group("methods")
    for method in dict.fromkeys(distiller_dict.values()):
        method.add_arguments(methods)
    add_data_arguments(flags, dataset_dict)
    add_training_arguments(flags)
    add_run_arguments(flags)
    return flags


def main() -> None:
    args = parser().parse_args()
    plans = plan_students(args)
    if args.online_start >= args.epochs:
        raise UserError(
            f"--online_start {args.online_start} is not within the {args.epochs} epochs of --epochs"
        )
    device = resolve_device(args.device)
    precision = prepare_device(args, device)
    data = load_data(args)
    teacher, weights_hash = load_teacher(args, data.num_classes)
    models, methods = "_".join(dict.fromkeys(args.model_s)), "_".join(args.distill)
    start = f"_from{args.online_start}" if args.online_start else ""
    name = f"S_{models}_T_{teacher.name}_{args.dataset}_{methods}_{args.online}{start}_trial_{args.trial}"
    run = RunFolder(args.save_folder, "train_modreduce", name, args.resume)
    if finished_already(run):
        return
    group = build_group(plans, teacher, args.online, data, args, device, precision)
    results = run_experiment(run, group, data, args, precision, teacher.name, teacher_sha256=weights_hash)
    print(table(results))


if __name__ == "__main__":
    run_script(main)
