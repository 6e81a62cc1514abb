#!/bin/sh
# One line per offline method on CIFAR-100, with RepDistiller's weights; the second CRD line adds KD. Other pairs:
#   TEACHER=vgg13 STUDENT=vgg8 sh scripts/run_cifar_distill.sh --trial 2
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
teacher=save/models/${TEACHER:-resnet32x4}_vanilla/ckpt_epoch_240.pth
train_student() {
    "$python" "$root/train_student.py" --path_t "$teacher" --model_s "${STUDENT:-resnet8x4}" --resume "$@"
}

train_student --distill kd -r 0.1 -a 0.9 -b 0 "$@"
train_student --distill fitnet -r 1 -a 0 -b 100 "$@"
train_student --distill rkd -r 1 -a 0 -b 1 "$@"
train_student --distill crd -r 1 -a 0 -b 0.8 "$@"
train_student --distill semckd -r 1 -a 1 -b 400 "$@"
train_student --distill crd -r 1 -a 1 -b 0.8 --save_folder save/crd_and_kd "$@"
