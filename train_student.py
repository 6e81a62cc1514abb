"""One teacher trains one student by one method: gamma * CE + alpha * KD + beta * method.

    python train_student.py --path_t T.pth --model_s resnet20 --distill kd
    python train_student.py --path_t T.pth --model_s resnet8x4 --distill crd -a 0   # as RepDistiller
    python train_student.py --path_t T.pth --model_s resnet8x4 --distill semckd   # as SemCKD
    python train_student.py --path_t T.pth --model_s vgg8 --distill fitnet --hint_layer 1 --val_split 0.1

The run's folder is save/train_student/<name>; the same command with --resume goes on where it was stopped.
"""

from dataset import dataset_dict
from dataset.data import add_data_arguments, load_data
from distiller_zoo import distiller_dict
from engine.optimizer import add_training_arguments
from engine.run import finished_already, run_experiment
from engine.run_folder import RunFolder, add_run_arguments
from helper.arguments import Parser
from helper.device import prepare_device, resolve_device
from helper.errors import UserError, run_script
from helper.results import table
from models.checkpoint import check_model
from modreduce.build import StudentPlan, add_teacher_arguments, build_group
from modreduce.student import LossWeights
from modreduce.teacher import load_teacher


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("--model_s", required=True, metavar="NAME", help="the student's network")
    flags.add_argument("--distill", required=True, choices=list(distiller_dict), help="the method")
    add_teacher_arguments(flags)
    methods = flags.add_argument_group("methods")
    for method in dict.fromkeys(distiller_dict.values()):
        method.add_arguments(methods)
    add_data_arguments(flags, dataset_dict)
    add_training_arguments(flags)
    add_run_arguments(flags)
    return flags


def main() -> None:
    args = parser().parse_args()
    check_model("--model_s", args.model_s)
    beta = distiller_dict[args.distill].weight if args.beta is None else args.beta
    weights = LossWeights(args.gamma, args.alpha, beta)
    if not sum(weights):
        raise UserError("--gamma, --alpha and --beta are all 0: at least one has to be above 0")
    device = resolve_device(args.device)
    precision = prepare_device(args, device)
    data = load_data(args)
    teacher, weights_hash = load_teacher(args, data.num_classes)
    name = f"S_{args.model_s}_T_{teacher.name}_{args.dataset}_{args.distill}_trial_{args.trial}"
    run = RunFolder(args.save_folder, "train_student", name, args.resume)
    if finished_already(run):
        return
    plan = StudentPlan(args.distill, args.model_s, args.distill, weights, normalise=False)
    group = build_group([plan], teacher, "none", data, args, device, precision)
    results = run_experiment(run, group, data, args, precision, teacher.name, teacher_sha256=weights_hash)
    print(table(results))


if __name__ == "__main__":
    run_script(main)
