#!/bin/sh
# The comparison of results/cpu: every method on a slice of CIFAR-100, three seeds, no GPU; two hours on two cores.
#   sh scripts/cpu_evidence.sh                           trains the teacher too
#   TEACHER=resnet20.pth DATA=/data sh scripts/cpu_evidence.sh           a teacher and CIFAR-100 at hand
#   SEEDS="1 2" JOBS=4 SAVE=elsewhere sh scripts/cpu_evidence.sh         two seeds, four runs side by side
# Goes on where it stopped: finished runs are skipped, others resumed. Results: save/cpu/results; OUT=results/cpu filled
# the ones that are committed. Then: python report.py save/cpu/results
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" "$root/scripts/cpu_evidence.py" "$@"
