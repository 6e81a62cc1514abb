"""One teacher trains one student by one method: gamma * CE + alpha * KD + beta * method.

    python train_student.py --path_t T.pth --model_s resnet20 --distill kd
    python train_student.py --path_t T.pth --model_s resnet8x4 --distill crd -a 0   # as RepDistiller
    python train_student.py --path_t T.pth --model_s resnet8x4 --distill semckd   # as SemCKD
    python train_student.py --path_t T.pth --model_s vgg8 --distill fitnet --hint_layer 1 --val_split 0.1

The run's folder is save/train_student/<name>; the same command with --resume goes on where it was stopped.
"""

from distiller_zoo import distiller_dict
from helper.arguments import Parser
from helper.errors import UserError, run_script
from modreduce.flags import (
    add_method_flags,
    add_network_flags,
    add_run_flags,
    add_teacher_flags,
    check_trainable,
)


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--model_s", required=True, metavar="NAME", help="the student's network")
    flags.add_argument(
        "--distill",
        required=True,
        choices=list(distiller_dict),
        metavar="METHOD",
        help=f"the method: {', '.join(distiller_dict)}",
    )
    add_network_flags(flags)
    add_teacher_flags(flags)
    add_run_flags(flags)
    add_method_flags(flags)
    return flags


def main() -> None:
    flags = parser()
    args = flags.parse_args()
    check_trainable("--model_s", [args.model_s], args.small_stem)
    if not any(weight is None or weight > 0 for weight in (args.gamma, args.alpha, args.beta)):
        raise UserError("--gamma, --alpha and --beta are all 0: at least one has to be above 0")

    from modreduce.build import plan_students
    from modreduce.launch import launch

    launch(
        "train_student",
        flags,
        vars(args),
        lambda teacher: [f"S_{args.model_s}_T_{teacher}_{args.dataset}_{args.distill}_trial_{args.trial}"],
        lambda teacher, values: plan_students(
            [args.distill], [args.model_s], teacher, values, normalise=False
        ),
    )


if __name__ == "__main__":
    run_script(main)
