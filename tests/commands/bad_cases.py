"""The table of bad input: commands as a user types them, and the beginning of the line that each prints.

The line stands after 'error: '. In front of a case's own words stand the usual ones of the script (USUAL),
unless it says NOTHING; LONG is a word of 300 letters, {run} the beginning of a run's folder, {here} the
current folder. What the files hold is said in bad_materials.py.
"""

DATA = "--dataset npz --data_folder good.npz --device cpu"
TRAINING = f"{DATA} --batch_size 8 --epochs 2"
USUAL = {
    "train_teacher": f"--model resnet8 {TRAINING}",
    "train_student": f"--path_t teacher.pth --model_s resnet8 --distill kd {TRAINING}",
    "train_modreduce": f"--path_t teacher.pth --model_s resnet8 --distill kd rkd {TRAINING}",
    "evaluate": f"--path teacher.pth {DATA}",
    "scripts.fetch_teachers": "",
    "scripts.reproduce": "",
    "report": "",
    "figures": "",
}
RUN = "save/train_student/S_resnet8_T_resnet8_npz_kd_trial"
CASES: list[tuple[str, str]] = [
    ("train_teacher NOTHING", "the following arguments are required: --model"),
    (
        "train_teacher --model resnet9",
        "--model resnet9 is unknown; the networks are resnet8, resnet14, resnet20, resnet32, resnet44,",
    ),
    (
        "train_teacher --model ../resnet8",
        "--model ../resnet8 is unknown; the networks are resnet8, resnet14, resnet20, resnet32,",
    ),
    ("train_teacher --dataset mnist", "argument --dataset: invalid choice: 'mnist' (choose from"),
    ("train_teacher --batch_size 0", "argument --batch_size: 0 is not a whole number from 1"),
    ("train_teacher --batch_size 8.5", "argument --batch_size: '8.5' is not a whole number from 1"),
    (
        "train_teacher --batch_size 25",
        "--batch_size 25 is larger than the 24 training images: allowed are 1 to 24",
    ),
    (
        "train_teacher --batch_size 99999999999999999999",
        "argument --batch_size: 99999999999999999999 is too large: at most 2147483647 is allowed",
    ),
    ("train_teacher --epochs 0", "argument --epochs: 0 is not a whole number from 1"),
    ("train_teacher --epochs -3", "argument --epochs: -3 is not a whole number from 1"),
    ("train_teacher --epochs many", "argument --epochs: 'many' is not a whole number from 1"),
    ("train_teacher --learning_rate 0", "argument --learning_rate: 0 is not a number above 0"),
    ("train_teacher --learning_rate nan", "argument --learning_rate: 'nan' is not a number above 0"),
    ("train_teacher --learning_rate inf", "argument --learning_rate: 'inf' is not a number above 0"),
    ("train_teacher --lr_decay_rate -1", "argument --lr_decay_rate: -1 is not a number above 0"),
    (
        "train_teacher --lr_decay_epochs 20,10",
        "argument --lr_decay_epochs: '20,10' is no list of growing epochs from 1, like 150,180,210",
    ),
    (
        "train_teacher --lr_decay_epochs 10;20",
        "argument --lr_decay_epochs: '10;20' is no list of growing epochs from 1, like 150,180,210",
    ),
    (
        "train_teacher --lr_decay_epochs 0,1",
        "argument --lr_decay_epochs: '0,1' is no list of growing epochs from 1, like 150,180,210",
    ),
    ("train_teacher --momentum 1", "argument --momentum: 1 is not a number from 0 to below 1"),
    ("train_teacher --clip_grad -1", "argument --clip_grad: -1 is not a number from 0"),
    ("train_teacher --seed -1", "argument --seed: -1 is not a whole number from 0"),
    ("train_teacher --seed 1.5", "argument --seed: '1.5' is not a whole number from 0"),
    (
        "train_teacher --trial a/b",
        "argument --trial: 'a/b' cannot be part of a folder's name: use letters, digits, '_', '-', '.',",
    ),
    (
        "train_teacher --trial ..",
        "argument --trial: '..' cannot be part of a folder's name: use letters, digits, '_', '-', '.',",
    ),
    ("train_teacher --trial LONG", "argument --trial:"),
    ("train_teacher --device tpu", "--device tpu is unknown: allowed are auto, cpu, cuda, cuda:0, ..."),
    (
        "train_teacher --device cuda:99",
        "--device cuda:99: this machine has no CUDA GPU that torch can use; use --device cpu",
    ),
    (
        "train_teacher --device meta",
        "--device meta is not supported: allowed are auto, cpu, cuda, cuda:0, ...",
    ),
    ("train_teacher --precision fp16", "argument --precision: invalid choice: 'fp16' (choose from"),
    ("train_teacher --cuda_graph", "--cuda_graph needs --device cuda: leave it out on a CPU"),
    ("train_teacher --val_split 1", "argument --val_split: 1 is not a number from 0 to below 1"),
    ("train_teacher --val_split nan", "argument --val_split: 'nan' is not a number from 0 to below 1"),
    (
        "train_teacher --val_split 0.01",
        "--val_split 0.01 would hold out 0 of 24 images; each of the 3 classes needs an image in both",
    ),
    (
        "train_teacher --val_split 0.99",
        "--val_split 0.99 would hold out 24 of 24 images; each of the 3 classes needs an image in both",
    ),
    ("train_teacher --train_size 0", "argument --train_size: 0 is not a whole number from 1"),
    (
        "train_teacher --train_size 2",
        "--train_size asks for 2 images, allowed are 3 (one per class) to 24 (all): choose a number in",
    ),
    (
        "train_teacher --train_size 25",
        "--train_size asks for 25 images, allowed are 3 (one per class) to 24 (all): choose a number in",
    ),
    (
        "train_teacher --data_folder single.npz --batch_size 2 --val_split 0.5",
        "--val_split 0.5 would hold out 2 of 4 images; each of the 3 classes needs an image in both",
    ),
    ("train_teacher --unknown_flag 1", "unrecognized arguments: --unknown_flag 1"),
    ("train_teacher --epoch 3", "unrecognized arguments: --epoch 3"),
    (
        "train_teacher --save_folder occupied",
        "--save_folder: {here}/occupied is a file, not a folder: choose another place",
    ),
    (
        "train_teacher --save_folder occupied/below",
        "--save_folder: {here}/occupied is a file, not a folder: choose another place",
    ),
    (
        "train_teacher --save_folder runs",
        "--save_folder: {here}/runs/models is a file, not a folder: choose another place",
    ),
    (
        "train_teacher --save_folder /proc/nowhere",
        "cannot write to /proc/nowhere/train_teacher/resnet8_npz_trial_1:",
    ),
    ("train_teacher --save_folder LONG", "--save_folder:"),
    (
        "train_teacher --data_folder nowhere",
        "nowhere/dataset.npz does not exist: --data_folder takes an .npz file, or a folder with",
    ),
    (
        "train_teacher --data_folder nothing",
        "nothing/dataset.npz does not exist: --data_folder takes an .npz file, or a folder with",
    ),
    (
        "train_teacher --data_folder no_labels.npz",
        "no_labels.npz lacks test_labels (found: test_images, train_images, train_labels): write it with",
    ),
    ("train_teacher --data_folder damaged.npz", "damaged.npz cannot be read ("),
    (
        "train_teacher --data_folder cut.npz",
        "cut.npz cannot be read (it is cut off, or no .npz archive): allowed is an undamaged .npz file",
    ),
    (
        "train_teacher --data_folder text.npz",
        "text.npz cannot be read (it is cut off, or no .npz archive): allowed is an undamaged .npz file",
    ),
    (
        "train_teacher --data_folder array.npz",
        "array.npz cannot be read (it is cut off, or no .npz archive): allowed is an undamaged .npz file",
    ),
    ("train_teacher --data_folder objects.npz", "objects.npz cannot be read ("),
    (
        "train_teacher --data_folder gap.npz",
        "npz: 1 of 3 classes have no training image, the first is class 1: add images of it to",
    ),
    (
        "train_teacher --data_folder test_class.npz",
        "npz: 1 of 4 classes have no training image, the first is class 3: add images of it to",
    ),
    (
        "train_teacher --data_folder negative.npz",
        "npz: train_labels[1] is -1, allowed are 0 to 2 (8 labels are out of range): number the classes",
    ),
    (
        "train_teacher --data_folder one_class.npz",
        "npz: num_classes is 1; classification needs at least 2 classes: check the labels, which count",
    ),
    (
        "train_teacher --data_folder fractions.npz",
        "fractions.npz: train_labels is float64 (24,), allowed is one integer per image, shape (24,):",
    ),
    (
        "train_teacher --data_folder one_hot.npz",
        "one_hot.npz: train_labels is int64 (24, 3), allowed is one integer per image, shape (24,): turn",
    ),
    (
        "train_teacher --data_folder few_labels.npz",
        "few_labels.npz: train_labels is int64 (23,), allowed is one integer per image, shape (24,):",
    ),
    (
        "train_teacher --data_folder grey.npz",
        "grey.npz: train_images is uint8 (24, 32, 32), which are grey images, allowed is uint8 (n, 32,",
    ),
    (
        "train_teacher --data_folder alpha.npz",
        "alpha.npz: train_images is uint8 (24, 32, 32, 4), with four channels, allowed is uint8 (n, 32,",
    ),
    (
        "train_teacher --data_folder channels_first.npz",
        "channels_first.npz: train_images is uint8 (24, 3, 32, 32), with the channels before height and",
    ),
    (
        "train_teacher --data_folder small.npz",
        "small.npz: train_images is uint8 (24, 28, 28, 3), allowed is uint8 (n, 32, 32, 3) or (n, 64,",
    ),
    (
        "train_teacher --data_folder oblong.npz",
        "oblong.npz: test_images is uint8 (6, 32, 24, 3), allowed is uint8 (n, 32, 32, 3) or (n, 64, 64,",
    ),
    (
        "train_teacher --data_folder two_sizes.npz",
        "two_sizes.npz: train_images are 32 x 32, test_images 64 x 64; both must have the same size:",
    ),
    (
        "train_teacher --data_folder nan.npz",
        "nan.npz: train_images is float32 (24, 32, 32, 3) and has NaN (not-a-number) pixels, allowed is",
    ),
    (
        "train_teacher --data_folder floats.npz",
        "floats.npz: train_images is float32 (24, 32, 32, 3), allowed is uint8 (n, 32, 32, 3) or (n, 64,",
    ),
    (
        "train_teacher --data_folder empty_train.npz",
        "empty_train.npz: train_images is empty, allowed is uint8 (n, 32, 32, 3) or (n, 64, 64, 3) with",
    ),
    (
        "train_teacher --data_folder empty_test.npz",
        "empty_test.npz: test_images is empty, allowed is uint8 (n, 32, 32, 3) or (n, 64, 64, 3) with n",
    ),
    (
        "train_teacher --data_folder one_colour.npz",
        "npz: std is (0.0, 0.0, 0.0), allowed are three numbers from 1e-06 to 1: a standard deviation of",
    ),
    (
        "train_teacher --dataset cifar100 --data_folder cifar_small",
        "cifar_small/cifar100.npz: train_images is uint8 (24, 32, 32, 3), CIFAR-100 has uint8 (50000,",
    ),
    (
        "train_teacher --dataset cifar100 --data_folder cifar_text",
        "cifar_text/cifar100.npz cannot be read (it is cut off, or no .npz archive): allowed is an",
    ),
    (
        "train_teacher --dataset cifar100 --data_folder nothing",
        "CIFAR-100 is not in nothing and cannot be downloaded (",
    ),
    (
        "train_teacher --dataset cifar100 --data_folder occupied",
        "CIFAR-100 is not in occupied and cannot be downloaded",
    ),
    (
        "train_student NOTHING --model_s resnet8 --distill kd",
        "the following arguments are required: --path_t (see train_student.py --help)",
    ),
    ("train_student --path_t nowhere.pth", "no checkpoint at nowhere.pth: give the path of a .pth file"),
    ("train_student --path_t folder.pth", "no checkpoint at folder.pth: give the path of a .pth file"),
    (
        "train_student --path_t cut.pth",
        "cut.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file, or",
    ),
    (
        "train_student --path_t flipped.pth",
        "flipped.pth is damaged: its checksum does not match its content; remove it and use an older",
    ),
    (
        "train_student --path_t empty.pth",
        "empty.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file,",
    ),
    (
        "train_student --path_t text.pth",
        "text.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file,",
    ),
    (
        "train_student --path_t pickle.pth",
        "pickle.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file,",
    ),
    ("train_student --path_t new_code.pth", "new_code.pth holds code or objects ("),
    ("train_student --path_t old_code.pth", "old_code.pth holds code or objects ("),
    ("train_student --path_t list.pth", "list.pth holds a list: a checkpoint is a dict with a 'model' entry"),
    (
        "train_student --path_t bare.pth",
        "bare.pth has no 'model' entry with a network's weights; it has conv1.weight, bn1.weight,",
    ),
    (
        "train_student --path_t numbered.pth",
        "numbered.pth has no 'model' entry with a network's weights; it has model: save {'model':",
    ),
    (
        "train_student --path_t sparse.pth",
        "sparse.pth has no 'model' entry with a network's weights; it has model: save {'model': weights}",
    ),
    (
        "train_student --path_t checksum.pth",
        "checksum.pth is damaged: its checksum does not match its content; remove it and use an older",
    ),
    (
        "train_student --path_t other_network.pth",
        "other_network.pth (resnet8) is of another architecture: 56 weights missing, 37 unknown, 0 of",
    ),
    (
        "train_student --path_t hundred.pth",
        "hundred.pth (resnet8) was trained for 100 classes, the data set has 3: use a network trained on",
    ),
    (
        "train_student --path_t nameless.pth",
        "nameless.pth does not say which network it holds: name it with --model_t (evaluate.py: --model)",
    ),
    (
        "train_student --path_t nameless.pth --model_t vgg8",
        "nameless.pth (vgg8) is of another architecture: 37 weights missing, 56 unknown, 0 of another",
    ),
    (
        "train_student --path_t unknown.pth",
        "unknown.pth: unknown network 'resnet9'; the networks are resnet8, resnet14, resnet20, resnet32,",
    ),
    (
        "train_student --path_t strange.pth",
        "strange.pth: unknown network [1, 2]; the networks are resnet8, resnet14, resnet20, resnet32,",
    ),
    (
        "train_student --path_t nan.pth",
        "nan.pth (resnet8) has weights that are not finite numbers (first: conv1.weight): take an older",
    ),
    (
        "train_student --path_t good.npz",
        "good.npz is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file,",
    ),
    (
        "train_student --model_t vgg8",
        "teacher.pth holds a resnet8, not a vgg8: leave that name out, or give another checkpoint",
    ),
    (
        "train_student --model_t resnet9",
        "--model_t resnet9 is unknown; the networks are resnet8, resnet14, resnet20, resnet32, resnet44,",
    ),
    (
        "train_student --model_s resnet9",
        "--model_s resnet9 is unknown; the networks are resnet8, resnet14, resnet20, resnet32, resnet44,",
    ),
    ("train_student --distill crdd", "argument --distill: invalid choice: 'crdd' (choose from"),
    ("train_student --distill kd crd", "unrecognized arguments: crd (see train_student.py --help)"),
    (
        "train_student --gamma -1",
        "argument -r/--gamma: -1 is not a number from 0 (see train_student.py --help)",
    ),
    (
        "train_student --alpha nan",
        "argument -a/--alpha: 'nan' is not a number from 0 (see train_student.py --help)",
    ),
    ("train_student --beta 1 2", "unrecognized arguments: 2 (see train_student.py --help)"),
    ("train_student --kd_T 0", "argument --kd_T: 0 is not a number above 0 (see train_student.py --help)"),
    (
        "train_student --gamma 0 --alpha 0 --beta 0",
        "--gamma, --alpha and --beta are all 0: at least one has to be above 0",
    ),
    (
        "train_student --distill crd --nce_k 0",
        "argument --nce_k: 0 is not a whole number from 1 (see train_student.py --help)",
    ),
    (
        "train_student --distill crd --nce_k 17",
        "--nce_k 17 is more than there are: the largest class leaves 16 images of other classes, so",
    ),
    (
        "train_student --distill crd --nce_t 0",
        "argument --nce_t: 0 is not a number above 0 (see train_student.py --help)",
    ),
    (
        "train_student --distill crd --nce_m 1",
        "argument --nce_m: 1 is not a number from 0 to below 1 (see train_student.py --help)",
    ),
    (
        "train_student --distill crd --feat_dim 0",
        "argument --feat_dim: 0 is not a whole number from 1 (see train_student.py --help)",
    ),
    (
        "train_student --distill crd --crd_mode other",
        "argument --crd_mode: invalid choice: 'other' (choose from",
    ),
    (
        "train_student --distill hint --hint_layer 0",
        "argument --hint_layer: 0 is not a whole number from 1 (see train_student.py --help)",
    ),
    (
        "train_student --distill hint --hint_layer 4",
        "--hint_layer 4 does not exist in both networks: allowed are 1 to 3",
    ),
    (
        "train_student --distill semckd --batch_size 3",
        "--batch_size 3 is too small for semckd, whose attention is sized by the batch: use at least 4",
    ),
    (
        "train_student --distill rkd --batch_size 1",
        "--batch_size 1 is too small for rkd, which compares the images of a batch: use at least 2",
    ),
    (
        "train_student --distill rkd --rkd_angle -1",
        "argument --rkd_angle: -1 is not a number from 0 (see train_student.py --help)",
    ),
    (
        "train_student --trial unfinished",
        "{run}_unfinished holds an unfinished run: add --resume to go on, or name another with --trial",
    ),
    (
        "train_student --trial changed --resume",
        "{run}_changed was begun with other settings: alpha (None then, 1.0 now), batch_size (None then,",
    ),
    (
        "train_student --trial student --resume",
        "{run}_student/last.pth is no state of a run, it lacks optimizer, progress, random, settings,",
    ),
    (
        "train_student --trial cut --resume",
        "{run}_cut/last.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an",
    ),
    (
        "train_student --trial cut_with_previous --resume",
        "{run}_cut_with_previous/last.pth is damaged: it is cut off or no PyTorch checkpoint; remove it",
    ),
    (
        "train_student --trial finished",
        "{run}_finished holds a finished run: name another with --trial, or move the folder away",
    ),
    (
        "train_student --trial locked",
        "{run}_locked is in use by another process: wait for it, or name another run with --trial",
    ),
    (
        "train_modreduce --model_s resnet8 resnet8 resnet8",
        "--model_s has 3 values for 2 students: give one for all, or 2",
    ),
    (
        "train_modreduce --model_s resnet8 resnet9",
        "--model_s resnet9 is unknown; the networks are resnet8, resnet14, resnet20, resnet32, resnet44,",
    ),
    (
        "train_modreduce --distill",
        "argument --distill: expected at least one argument (see train_modreduce.py --help)",
    ),
    ("train_modreduce --distill kd abc", "argument --distill: invalid choice: 'abc' (choose from"),
    ("train_modreduce --beta 1 2 3", "-b/--beta has 3 values for 2 students: give one for all, or 2"),
    (
        "train_modreduce --multiplier 1 2 3",
        "--multiplier has 3 values for 2 students: give one for all, or 2",
    ),
    (
        "train_modreduce --multiplier -1",
        "argument --multiplier: -1 is not a number from 0 (see train_modreduce.py --help)",
    ),
    ("train_modreduce --online mean", "argument --online: invalid choice: 'mean' (choose from"),
    ("train_modreduce --distill kd", "--online wavg needs at least 2 students, --distill names 1"),
    (
        "train_modreduce --distill kd --online pcl",
        "--online pcl needs at least 2 students, --distill names 1",
    ),
    ("train_modreduce --online_start 2", "--online_start 2 is not within the 2 epochs of --epochs"),
    (
        "train_modreduce --online_start -1",
        "argument --online_start: -1 is not a whole number from 0 (see train_modreduce.py --help)",
    ),
    (
        "train_modreduce --online_weight 1",
        "argument --online_weight: 1 is not a number from 0 to below 1 (see train_modreduce.py --help)",
    ),
    (
        "train_modreduce --online_weight_start 0",
        "argument --online_weight_start: 0 is not a number above 0 and below 1 (see train_modreduce.py",
    ),
    (
        "train_modreduce --online_weight_start 2",
        "argument --online_weight_start: 2 is not a number above 0 and below 1 (see train_modreduce.py",
    ),
    (
        "train_modreduce --ensemble_lr 0",
        "argument --ensemble_lr: 0 is not a number above 0 (see train_modreduce.py --help)",
    ),
    (
        "train_modreduce --online pcl --pcl_decay 1",
        "argument --pcl_decay: 1 is not a number from 0 to below 1 (see train_modreduce.py --help)",
    ),
    (
        "train_modreduce --online pcl --pcl_ramp_up 0",
        "argument --pcl_ramp_up: 0 is not a whole number from 1 (see train_modreduce.py --help)",
    ),
    (
        "train_modreduce --online pcl --pcl_T 0",
        "argument --pcl_T: 0 is not a number above 0 (see train_modreduce.py --help)",
    ),
    (
        "train_modreduce --gamma 0 --alpha 0",
        "student kd: gamma, alpha and beta are all 0; at least one has to be above 0",
    ),
    ("evaluate NOTHING", "the following arguments are required: --path (see evaluate.py --help)"),
    ("evaluate --path nowhere.pth", "no checkpoint at nowhere.pth: give the path of a .pth file"),
    (
        "evaluate --path teacher.pth cut.pth",
        "cut.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file, or",
    ),
    ("evaluate --path teacher.pth ./teacher.pth", "--path names a checkpoint twice: name each one once"),
    (
        "evaluate --path nameless.pth",
        "nameless.pth does not say which network it holds: name it with --model_t (evaluate.py: --model)",
    ),
    (
        "evaluate --path hundred.pth",
        "hundred.pth (resnet8) was trained for 100 classes, the data set has 3: use a network trained on",
    ),
    (
        "evaluate --model vgg8",
        "teacher.pth holds a resnet8, not a vgg8: leave that name out, or give another checkpoint",
    ),
    ("evaluate --ensemble nowhere.pth", "no checkpoint at nowhere.pth: give the path of a .pth file"),
    (
        "evaluate --ensemble teacher.pth",
        "teacher.pth holds no ensemble that can fuse networks (its method: None): give a run's",
    ),
    (
        "evaluate --ensemble no_ensemble.pth",
        "no_ensemble.pth holds no ensemble that can fuse networks (its method: ['wavg']): give a run's",
    ),
    (
        "evaluate --ensemble ensemble.pth",
        "ensemble.pth fuses 2 students (kd, crd) of 3 classes: give --path these 2, in this order, and a",
    ),
    (
        "evaluate --path teacher.pth second.pth --ensemble ensemble.pth",
        "ensemble.pth holds weights that do not fit wavg with 2 students and 3 classes: give a run's own",
    ),
    ("evaluate --json json_folder", "--json: json_folder is a folder: name a file in it"),
    (
        "evaluate --json occupied/scores.json",
        "--json: occupied is a file, not a folder: choose another place",
    ),
    ("evaluate --batch_size 8", "unrecognized arguments: --batch_size 8 (see evaluate.py --help)"),
    (
        "evaluate --data_folder empty_test.npz",
        "empty_test.npz: test_images is empty, allowed is uint8 (n, 32, 32, 3) or (n, 64, 64, 3) with n",
    ),
    (
        "scripts.fetch_teachers resnet57",
        "unknown teacher 'resnet57'; the published teachers are wrn_40_2, resnet56, resnet110,",
    ),
    (
        "scripts.fetch_teachers ../../etc",
        "unknown teacher '../../etc'; the published teachers are wrn_40_2, resnet56, resnet110,",
    ),
    (
        "scripts.fetch_teachers resnet56 --save_folder occupied",
        "cannot write occupied/models: Not a directory; give another --save_folder",
    ),
    (
        "scripts.fetch_teachers --timeout 0",
        "argument --timeout: 0 is not a number above 0 (see scripts.fetch_teachers.py --help)",
    ),
    (
        "scripts.fetch_teachers --retries -1",
        "argument --retries: -1 is not a whole number from 0 (see scripts.fetch_teachers.py --help)",
    ),
    (
        "scripts.fetch_teachers --backoff nan",
        "argument --backoff: 'nan' is not a number from 0 (see scripts.fetch_teachers.py --help)",
    ),
    ("report --unknown", "unrecognized arguments: --unknown"),
    ("report nowhere", "nowhere is no folder: give folders with finished runs, like save"),
    ("report occupied", "occupied is no folder: give folders with finished runs, like save"),
    (
        "report nothing --into nowhere.md",
        "no finished run (a results.json) below nothing: train first, for example with sh",
    ),
    ("report --curves nowhere", "cannot read nowhere/metrics.csv:"),
    ("report save --curves save", "--curves draws the runs that it names: leave FOLDER and --into out"),
    (
        "report nothing --out occupied",
        "no finished run (a results.json) below nothing: train first, for example with sh",
    ),
    ("figures NOTHING", "the following arguments are required: KIND"),
    ("figures pie", "argument KIND: invalid choice: 'pie' (choose from"),
    ("figures accuracy nowhere", "cannot read nowhere/metrics.csv:"),
    ("figures weights nothing", "cannot read nothing/metrics.csv:"),
    ("figures schedule --epochs 0", "argument --epochs: 0 is not a whole number from 1"),
    (
        "figures schedule --online_weight nan",
        "argument --online_weight: 'nan' is not a number from 0 to below 1",
    ),
    (
        "figures schedule --epochs 4 --out occupied/figure.png",
        "cannot write occupied/figure.png: File exists; what stood there before is whole: free the disk",
    ),
    (
        "figures schedule --epochs 4 --out figure.xyz",
        "cannot draw figure.xyz: the suffix is '.xyz'; use .png, .pdf, .svg",
    ),
    (
        "figures correlation --path_t cut.pth --path_s teacher.pth --dataset npz --data_folder good.npz",
        "cut.pth is damaged: it is cut off or no PyTorch checkpoint; remove it and use an older file, or",
    ),
    (
        "figures cka --path_t teacher.pth --path_s hundred.pth --dataset npz --data_folder good.npz",
        "hundred.pth (resnet8) was trained for 100 classes, the data set has 3: use a network trained on",
    ),
    (
        "figures tsne --path_t teacher.pth --path_s teacher.pth --classes 7 "
        "--dataset npz --data_folder good.npz",
        "--classes 7: allowed are numbers from 0 to 2, like 0,1,2",
    ),
    ("scripts.reproduce --epochs nan", "argument --epochs: 'nan' is not a whole number from 1"),
    ("scripts.reproduce --seeds one", "--seeds one: 'one' is no number or range; write 9,5,8 or 1-3"),
    ("scripts.reproduce --experiments 99", "--experiments 99: allowed are 1 to 15"),
    ("scripts.reproduce --online mean", "--online mean is unknown; allowed are wavg, one, fc, pcl, none"),
    ("scripts.reproduce --dataset mnist", "argument --dataset: invalid choice: 'mnist' (choose from"),
    (
        "scripts.reproduce --save_folder occupied --dry_run",
        "--save_folder: occupied is a file, not a folder: choose another place",
    ),
]
