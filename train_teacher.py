"""Train one network by cross-entropy: a teacher, or a student alone.

    python train_teacher.py --model resnet56
    python train_teacher.py --model resnet20 --dataset digits --epochs 20
    python train_teacher.py --model vgg13 --val_split 0.1 --seed 2 --trial 2

The run's folder is save/train_teacher/<name>; the network also goes to save/models/<model>_vanilla/
ckpt_epoch_<epochs>.pth, where the scripts that need a teacher look for it. The same command with --resume
goes on where it was stopped.
"""

from helper.arguments import Parser
from helper.errors import run_script
from models import OTHER_NAMES
from modreduce.flags import add_init, add_run_flags, add_small_stem, check_trainable


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help=f"the network (see models/__init__.py), or {OTHER_NAMES}",
    )
    add_small_stem(flags)
    add_init(flags, "--init")
    add_run_flags(flags)
    return flags


def main() -> None:
    flags = parser()
    args = flags.parse_args()
    check_trainable("--model", [args.model], args.small_stem)

    from helper.files import check_folder
    from models.checkpoint import leave_teacher, teacher_copy_path
    from modreduce.launch import launch
    from modreduce.student import LossWeights, StudentPlan

    copy = teacher_copy_path(args.save_folder, args.model, args.dataset, args.epochs)
    check_folder(copy.parent, "--save_folder")
    name = f"{args.model}_{args.dataset}_trial_{args.trial}"
    weights = LossWeights(1.0, 0.0, 0.0)
    plan = StudentPlan("teacher", args.model, None, weights, small_stem=args.small_stem, init=args.init)
    run, _ = launch("train_teacher", flags, vars(args), lambda _: [name], lambda *_: [plan])
    print(leave_teacher(run.path / "teacher_last.pth", copy))


if __name__ == "__main__":
    run_script(main)
