#!/bin/sh
# Experiment 4: resnet110 teaches three resnet20; further flags go to train_modreduce.py.
#   ONLINE=one sh scripts/experiments/04_resnet110_resnet20.sh --seed 2 --trial 2
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$root/train_modreduce.py" --dataset cifar100 \
    --path_t save/models/resnet110_vanilla/ckpt_epoch_240.pth \
    --model_s resnet20 --distill kd crd semckd --online "${ONLINE:-wavg}" \
    --batch_size 64 --epochs 240 --lr_decay_epochs 150,180,210 "$@"
