#!/bin/sh
# One line per offline method on CIFAR-100, with its published weights; the second CRD line adds KD. Other pairs:
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
train_student --distill at -r 1 -a 0 -b 1000 "$@"
train_student --distill sp -r 1 -a 0 -b 3000 "$@"
train_student --distill cc -r 1 -a 0 -b 0.02 "$@"
train_student --distill vid -r 1 -a 0 -b 1 "$@"
train_student --distill rkd -r 1 -a 0 -b 1 "$@"
train_student --distill pkt -r 1 -a 0 -b 30000 "$@"
train_student --distill nst -r 1 -a 0 -b 50 "$@"
train_student --distill kdsvd -r 1 -a 0 -b 1 "$@"
train_student --distill ab -r 1 -a 0 -b 1 "$@"
train_student --distill ft -r 1 -a 0 -b 200 "$@"
train_student --distill fsp -r 1 -a 0 -b 50 "$@"
train_student --distill crd -r 1 -a 0 -b 0.8 "$@"
train_student --distill irg -r 1 -a 1 -b 0.005 "$@"
train_student --distill hkd -r 1 -a 1 -b 1 "$@"
train_student --distill semckd -r 1 -a 1 -b 400 "$@"
train_student --distill ofd -r 1 -a 0 -b 0.001 "$@"
train_student --distill srrl -r 1 -a 1 -b 1 "$@"
train_student --distill ickd -r 1 -a 1 -b 2.5 "$@"
train_student --distill simkd -r 0 -a 0 -b 1 "$@"
train_student --distill crd -r 1 -a 1 -b 0.8 --save_folder save/crd_and_kd "$@"
# by default with what was published for the pair, where that is known
train_student --distill dkd "$@"
train_student --distill dist "$@"
train_student --distill itrd "$@"
train_student --distill srd "$@"
train_student --distill reviewkd "$@"
train_student --distill catkd "$@"
train_student --distill ttm "$@"
train_student --distill wttm "$@"
train_student --distill nkd "$@"
train_student --distill luminet "$@"
train_student --distill sdd "$@"
train_student --distill sdd_dkd "$@"
train_student --distill ctkd "$@"
train_student --distill ctkd_dkd "$@"
train_student --distill norm "$@"
train_student --distill wkd "$@"
train_student --distill mrd "$@"
train_student --distill mlkd "$@"
train_student --distill rld "$@"
train_student --distill crld "$@"
train_student --distill skd "$@"
train_student --distill kd --logit_stand --save_folder save/logit_stand "$@"
train_student --distill dkd --logit_stand --save_folder save/logit_stand "$@"
