#!/bin/sh
# Make .venv and install pyt.txt; nothing to do on a second call.   sh scripts/setup.sh
# The same, and what is optional (pyt-extra.txt).                   sh scripts/setup.sh extra
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv

# install LIST: unless it is installed already; further words go to uv
install() {
    list=$1
    shift
    if [ -f "$venv/$list.installed" ] && cmp -s "$root/$list" "$venv/$list.installed"; then
        return
    fi
    [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
    echo "installing $list into .venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
    "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" -r "$root/$list" "$@"
    cp "$root/$list" "$venv/$list.installed"
}

install pyt.txt
if [ "${1:-}" = extra ]; then
    # with the torch that is there, which a package could otherwise exchange for another
    "$venv/bin/python" -c 'import torch, torchvision
for package in torch, torchvision: print(package.__name__, package.__version__.split("+")[0], sep="==")' >"$venv/torch.txt"
    install pyt-extra.txt --constraint "$venv/torch.txt"
fi
