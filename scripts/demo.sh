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
show .venv/bin/python train_teacher.py --model resnet14 --epochs 8 $common
show .venv/bin/python train_modreduce.py --path_t "$save/models/resnet14_digits/ckpt_epoch_8.pth" \
    --model_s resnet8 --distill kd crd semckd --online wavg --epochs 12 --clip_grad 5 $common
run=$save/train_modreduce/S_resnet8_T_resnet14_digits_kd_crd_semckd_wavg_trial_1
show .venv/bin/python evaluate.py --dataset digits --ensemble "$run/ensemble_last.pth" \
    --path "$run/kd_last.pth" "$run/crd_last.pth" "$run/semckd_last.pth"
echo
echo "plots: $run/plots"
