#!/bin/sh
# The published tables: teachers, baselines, ModReduce and students alone, then the report. Goes on where it stopped.
#   sh scripts/reproduce.sh --experiments 9,5,8 --seeds 1,2,3
#   sh scripts/reproduce.sh --dry_run          print the commands that are left
#   sh scripts/reproduce.sh --experiments 9 -- --cuda_graph --data_folder /data      further flags of every run
# --help shows every option.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" "$root/scripts/reproduce.py" "$@"
