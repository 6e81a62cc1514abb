#!/bin/sh
# Make .venv and install pyt.txt; nothing to do on a second call.   sh scripts/setup.sh
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv
if [ -f "$venv/pyt.txt.installed" ] && cmp -s "$root/pyt.txt" "$venv/pyt.txt.installed"; then
    exit 0
fi
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
echo "installing pyt.txt into .venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" -r "$root/pyt.txt"
cp "$root/pyt.txt" "$venv/pyt.txt.installed"
