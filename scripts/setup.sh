#!/bin/sh
# Make .venv and install pyt.txt; nothing to do on a second call.   sh scripts/setup.sh
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/pyt.txt.installed
if [ -f "$stamp" ] && cmp -s pyt.txt "$stamp"; then
    exit 0
fi
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
echo "installing pyt.txt into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
.venv/bin/uv pip install --quiet --python .venv/bin/python -r pyt.txt
cp pyt.txt "$stamp"
