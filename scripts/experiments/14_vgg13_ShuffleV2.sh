#!/bin/sh
# Experiment 14: vgg13 teaches three ShuffleV2; further flags go to train_modreduce.py.
#   ONLINE=one sh scripts/experiments/14_vgg13_ShuffleV2.sh --seed 2 --trial 2
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$root/train_modreduce.py" --dataset cifar100 \
    --path_t save/models/vgg13_vanilla/ckpt_epoch_240.pth \
    --model_s ShuffleV2 --distill kd crd semckd --online "${ONLINE:-wavg}" \
    --batch_size 64 --epochs 240 --lr_decay_epochs 150,180,210 "$@"
