#!/bin/sh
# Experiment 8: wrn_40_2 teaches three ShuffleV1; further flags go to train_modreduce.py.
#   ONLINE=one sh scripts/experiments/08_wrn_40_2_ShuffleV1.sh --seed 2 --trial 2
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$root/train_modreduce.py" --dataset cifar100 \
    --path_t save/models/wrn_40_2_vanilla/ckpt_epoch_240.pth \
    --model_s ShuffleV1 --distill kd crd semckd --online "${ONLINE:-wavg}" \
    --batch_size 64 --epochs 240 --lr_decay_epochs 150,180,210 "$@"
