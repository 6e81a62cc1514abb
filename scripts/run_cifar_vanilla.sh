#!/bin/sh
# Networks alone on CIFAR-100: the teachers, and the students without a teacher. Further flags go to every line.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
train_alone() {
    "$python" "$root/train_teacher.py" --resume --model "$@"
}

# teachers
train_alone resnet32x4 "$@"
train_alone wrn_40_2 "$@"
train_alone vgg13 "$@"
train_alone resnet110 "$@"
train_alone resnet56 "$@"
train_alone ResNet50 "$@"

# students alone
train_alone wrn_16_2 "$@"
train_alone wrn_40_1 "$@"
train_alone resnet20 "$@"
train_alone resnet32 "$@"
train_alone resnet8x4 "$@"
train_alone vgg8 "$@"
train_alone MobileNetV2 "$@"
train_alone ShuffleV1 "$@"
train_alone ShuffleV2 "$@"
