"""ModReduce: one teacher trains several students, each by another kind of knowledge, and they learn from each
other.

    python train_modreduce.py --path_t save/models/resnet32x4_vanilla/ckpt_epoch_240.pth --model_s resnet8x4
    python train_modreduce.py --path_t T.pth --model_s resnet20 --distill kd rkd fitnet --online one
    python train_modreduce.py --path_t T.pth --model_s resnet20 vgg8 ShuffleV2 --online pcl
    python train_modreduce.py --path_t T.pth --model_s resnet20 --online wavg --online_start 220   # late
    python train_modreduce.py --path_t T.pth --model_s resnet20 --online none   # three baselines in a pass
    python train_modreduce.py --path_t none --model_s resnet20 resnet20 vgg8 --online dml   # peers alone

The run's folder is save/train_modreduce/<name>; the same command with --resume goes on where it was stopped.
"""

from distiller_zoo import distiller_dict
from helper.arguments import Parser, non_negative_float
from helper.errors import UserError, run_script
from modreduce import ensemble_dict
from modreduce.flags import (
    NO_TEACHER,
    add_ensemble_flags,
    add_method_flags,
    add_network_flags,
    add_run_flags,
    add_teacher_flags,
    check_trainable,
)


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
    add_network_flags(flags, many_students=True)
    add_teacher_flags(flags, many_students=True)
    flags.add_argument("--online", default="wavg", choices=list(ensemble_dict), help="default wavg")
    flags.add_argument(
        "--multiplier",
        nargs="+",
        type=non_negative_float,
        metavar="M",
        help="factor of the offline loss, one or one per student (default: the method's own)",
    )
    add_ensemble_flags(flags)
    add_run_flags(flags)
    add_method_flags(flags)
    return flags


def main() -> None:
    flags = parser()
    args = flags.parse_args()
    check_trainable("--model_s", args.model_s, args.small_stem)
    if args.online_start >= args.epochs:
        raise UserError(
            f"--online_start {args.online_start} is not within the {args.epochs} epochs of --epochs"
        )

    from modreduce.build import check_ensemble, plan_students
    from modreduce.launch import launch

    alone = str(args.path_t) == NO_TEACHER
    if alone and args.distill != flags.get_default("distill"):
        raise UserError("--distill needs a teacher: give --path_t one, or leave --distill out")
    if alone and args.taps_t is not None:
        raise UserError("--taps_t needs a teacher: give --path_t one, or leave --taps_t out")
    methods = [] if alone else args.distill
    check_ensemble(args.online, len(methods) or len(args.model_s))
    if alone:
        args.path_t = None

    def names(teacher: str) -> list[str]:
        different = list(dict.fromkeys(args.model_s))
        start = f"_from{args.online_start}" if args.online_start else ""
        what = "_".join([*methods, args.online])
        rest = f"T_{teacher or NO_TEACHER}_{args.dataset}_{what}{start}_trial_{args.trial}"
        models = args.model_s if len(different) > 1 or alone else different
        return [f"S_{'_'.join(each)}_{rest}" for each in (models, different)]

    launch(
        "train_modreduce",
        flags,
        vars(args),
        names,
        lambda teacher, values: plan_students(methods, args.model_s, teacher, values),
        args.online,
    )


if __name__ == "__main__":
    run_script(main, several_ranks=True)
