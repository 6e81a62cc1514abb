#!/bin/sh
# The comparison of results/cpu: every method on a slice of CIFAR-100, three seeds, no GPU; two hours on two cores.
#   sh scripts/cpu_evidence.sh                           trains the teacher too
#   TEACHER=resnet20.pth DATA=/data sh scripts/cpu_evidence.sh           a teacher and CIFAR-100 at hand
# Goes on where it stopped: finished runs are skipped, others resumed. Results: save/cpu/results; OUT=results/cpu filled
# the ones that are committed. Then: python report.py save/cpu/results
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
python=.venv/bin/python
save=${SAVE:-save/cpu}
data=${DATA:-data}
out=${OUT:-$save/results}
if [ -z "${TEACHER:-}" ]; then
    TEACHER=$save/models/resnet20_vanilla/ckpt_epoch_24.pth
    $python train_teacher.py --model resnet20 --epochs 24 --data_folder "$data" --save_folder "$save" --resume
fi
mkdir -p "$save/logs" "$out"
export OMP_NUM_THREADS=1 python save data out TEACHER
{
    for seed in ${SEEDS:-1 2 3}; do
        echo "alone - $seed"
        echo "none kd,crd,semckd $seed"
        echo "wavg kd,crd,semckd $seed"
        echo "none rkd,fitnet $seed"
        for online in one fc pcl; do
            echo "$online kd,crd,semckd $seed"
        done
    done
    # one seed of what results/README.md explains the others with
    echo "pcl kd,crd,semckd 1 quick --pcl_decay 0.9 --pcl_ramp_up 1"
} | xargs -P "${JOBS:-2}" -L 1 sh scripts/cpu_evidence_run.sh
