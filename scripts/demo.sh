#!/bin/sh
# The whole system in minutes on two cores: a teacher, three students and their ensemble, on real digits.
#   SAVE=elsewhere sh scripts/demo.sh          into another folder than save/demo
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
save=${SAVE:-save/demo}
show() {
    script=$1
    shift
    echo
    echo "\$ python $script $*"
    "$root/.venv/bin/python" "$root/$script" --dataset digits "$@"
}
show train_teacher.py --model resnet14 --epochs 8 --save_folder "$save" --resume
show train_modreduce.py --path_t "$save/models/resnet14_digits/ckpt_epoch_8.pth" --model_s resnet8 \
    --distill kd crd semckd --online wavg --epochs 12 --clip_grad 5 --save_folder "$save" --resume
run=$save/train_modreduce/S_resnet8_T_resnet14_digits_kd_crd_semckd_wavg_trial_1
show evaluate.py --ensemble "$run/ensemble_last.pth" \
    --path "$run/kd_last.pth" "$run/crd_last.pth" "$run/semckd_last.pth"
echo
echo "plots: $run/plots"
