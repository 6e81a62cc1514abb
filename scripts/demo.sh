#!/bin/sh
# The whole system in under three minutes on two cores: a teacher, three students and their ensemble, on real digits.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
save=${SAVE:-save/demo}
show() {
    echo
    echo "\$ $*"
    "$@"
}
common="--dataset digits --save_folder $save --resume"
show .venv/bin/python train_teacher.py --model resnet20 --epochs 10 $common
show .venv/bin/python train_modreduce.py --path_t "$save/models/resnet20_digits/ckpt_epoch_10.pth" \
    --model_s resnet8 --distill kd crd semckd --online wavg --epochs 20 $common
run=$save/train_modreduce/S_resnet8_T_resnet20_digits_kd_crd_semckd_wavg_trial_1
show .venv/bin/python evaluate.py --dataset digits --ensemble "$run/ensemble_last.pth" \
    --path "$run/kd_last.pth" "$run/crd_last.pth" "$run/semckd_last.pth"
echo
echo "plots: $run/plots"
