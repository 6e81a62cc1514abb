#!/bin/sh
# Networks alone on CIFAR-100: the teachers, and the students without a teacher. Further flags go to every line.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3

# teachers
"$python" train_teacher.py --model resnet32x4 --resume "$@"
"$python" train_teacher.py --model wrn_40_2 --resume "$@"
"$python" train_teacher.py --model vgg13 --resume "$@"
"$python" train_teacher.py --model resnet110 --resume "$@"
"$python" train_teacher.py --model resnet56 --resume "$@"
"$python" train_teacher.py --model ResNet50 --resume "$@"

# students alone
"$python" train_teacher.py --model wrn_16_2 --resume "$@"
"$python" train_teacher.py --model wrn_40_1 --resume "$@"
"$python" train_teacher.py --model resnet20 --resume "$@"
"$python" train_teacher.py --model resnet32 --resume "$@"
"$python" train_teacher.py --model resnet8x4 --resume "$@"
"$python" train_teacher.py --model vgg8 --resume "$@"
"$python" train_teacher.py --model MobileNetV2 --resume "$@"
"$python" train_teacher.py --model ShuffleV1 --resume "$@"
"$python" train_teacher.py --model ShuffleV2 --resume "$@"
