#!/bin/sh
# Fetch the published CIFAR-100 teachers into save/models/: all six, or those named.
#   sh scripts/fetch_pretrained_teachers.sh resnet56 wrn_40_2
#   TEACHER_URL=https://mirror.example/repo sh scripts/fetch_pretrained_teachers.sh
# --help shows every option. A relative --save_folder counts from the repository.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=python3; fi
exec "$python" -m scripts.fetch_teachers "$@"
