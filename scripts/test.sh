#!/bin/sh
# Linter and tests, as CI runs them; further words go to pytest.   sh scripts/test.sh -k resume
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
# one thread per worker: two workers on two cores, and the same order of additions on every machine
OMP_NUM_THREADS=1 exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
