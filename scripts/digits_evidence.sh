#!/bin/sh
# The comparison of results/digits: every method of the zoo on digits, three seeds, no GPU; some hours of one core.
#   sh scripts/digits_evidence.sh                        trains the teacher too
#   SEEDS=1 JOBS=4 SAVE=elsewhere sh scripts/digits_evidence.sh          one seed, four runs side by side
#   TEACHER=resnet14.pth sh scripts/digits_evidence.sh                   a teacher at hand
# Goes on where it stopped: finished runs are skipped, others resumed. Results: save/digits/results; OUT=results/digits
# filled the ones that are committed. Then: python report.py save/digits/results
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" "$root/scripts/digits_evidence.py" "$@"
