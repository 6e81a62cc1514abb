#!/bin/sh
# docs/tutorial.md, command by command: pictures, a teacher, students alone and taught, exported and used.
#   sh scripts/tutorial.sh                               ten minutes on two cores
#   SAVE=elsewhere sh scripts/tutorial.sh                into another folder than save/tutorial
#   DATASET=cifar100 DATA=/data sh scripts/tutorial.sh   ten classes of CIFAR-100 in place of digits
#   PAGE=docs/tutorial.md sh scripts/tutorial.sh         writes the page too
#   sh scripts/tutorial.sh --short                       one epoch and one seed: whether it runs
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh" extra
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$root/.venv/bin/python" "$root/scripts/tutorial.py" "$@"
