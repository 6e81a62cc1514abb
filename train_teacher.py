"""Train one network by cross-entropy: a teacher, or a student alone.

    python train_teacher.py --model resnet56
    python train_teacher.py --model resnet20 --dataset digits --epochs 20
    python train_teacher.py --model vgg13 --val_split 0.1 --seed 2 --trial 2

The run's folder is save/train_teacher/<name>; the network also goes to save/models/<model>_vanilla/
ckpt_epoch_<epochs>.pth, where the scripts that need a teacher look for it. The same command with --resume
goes on where it was stopped.
"""

from pathlib import Path

from dataset import dataset_dict
from dataset.data import add_data_arguments, load_data
from engine.optimizer import add_training_arguments
from engine.run import finished_already, run_experiment
from engine.run_folder import RunFolder, add_run_arguments
from helper.arguments import Parser
from helper.device import prepare_device, resolve_device
from helper.errors import run_script
from helper.files import check_folder, keep_as
from helper.results import table
from models.checkpoint import check_model, teacher_copy_path
from modreduce.build import StudentPlan, build_group
from modreduce.student import LossWeights


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--model", required=True, metavar="NAME", help="the network (see models/__init__.py)")
    add_data_arguments(flags, dataset_dict)
    add_training_arguments(flags)
    add_run_arguments(flags)
    return flags


def main() -> None:
    args = parser().parse_args()
    check_model("--model", args.model)
    device = resolve_device(args.device)
    precision = prepare_device(args, device)
    data = load_data(args)
    name = f"{args.model}_{args.dataset}_trial_{args.trial}"
    run = RunFolder(args.save_folder, "train_teacher", name, args.resume)
    copy = teacher_copy_path(args.save_folder, args.model, args.dataset, args.epochs)
    check_folder(copy.parent, "--save_folder")
    if finished_already(run):
        leave_copy(run, copy)
        return
    plan = StudentPlan("teacher", args.model, None, LossWeights(1.0, 0.0, 0.0))
    group = build_group([plan], None, "none", data, args, device, precision)
    results = run_experiment(run, group, data, args, precision)
    print(table(results))
    leave_copy(run, copy)


def leave_copy(run: RunFolder, copy: Path) -> None:
    """Put the trained network where teachers are looked for, unless one stands there already."""
    if copy.exists():
        print(f"{copy} stays as it was; this run's network is {run.path / 'teacher_last.pth'}")
    else:
        copy.parent.mkdir(parents=True, exist_ok=True)
        keep_as(run.path / "teacher_last.pth", copy)
        print(f"teacher: {copy}")


if __name__ == "__main__":
    run_script(main)
