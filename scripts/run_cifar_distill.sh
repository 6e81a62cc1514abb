#!/bin/sh
# One line per offline method on CIFAR-100, with RepDistiller's weights; the second CRD line adds KD. Other pairs:
#   TEACHER=vgg13 STUDENT=vgg8 sh scripts/run_cifar_distill.sh --trial 2
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
teacher=save/models/${TEACHER:-resnet32x4}_vanilla/ckpt_epoch_240.pth
student=${STUDENT:-resnet8x4}

"$python" train_student.py --path_t "$teacher" --model_s "$student" --distill kd -r 0.1 -a 0.9 -b 0 --resume "$@"
"$python" train_student.py --path_t "$teacher" --model_s "$student" --distill fitnet -r 1 -a 0 -b 100 --resume "$@"
"$python" train_student.py --path_t "$teacher" --model_s "$student" --distill rkd -r 1 -a 0 -b 1 --resume "$@"
"$python" train_student.py --path_t "$teacher" --model_s "$student" --distill crd -r 1 -a 0 -b 0.8 --resume "$@"
"$python" train_student.py --path_t "$teacher" --model_s "$student" --distill semckd -r 1 -a 1 -b 400 --resume "$@"
"$python" train_student.py --path_t "$teacher" --model_s "$student" --distill crd -r 1 -a 1 -b 0.8 \
    --save_folder save/crd_and_kd --resume "$@"
