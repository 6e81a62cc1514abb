#!/bin/sh
# Fetch the published CIFAR-100 teachers into save/models/: all six, or those named.
#   sh scripts/fetch_pretrained_teachers.sh resnet56 wrn_40_2
#   TEACHER_URL=https://mirror.example/repo sh scripts/fetch_pretrained_teachers.sh
# --help shows every option.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" "$root/scripts/fetch_teachers.py" "$@"
