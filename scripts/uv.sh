#!/usr/bin/env bash
# Prints the path of a uv that works: the one on PATH, else one installed into the checkout (.tools/uv).
set -euo pipefail
cd "$(dirname "$0")/.."

# A version manager can leave a `uv` on PATH that only says it has none, so it is asked to run.
if uv --version >/dev/null 2>&1; then
    command -v uv
    exit
fi

home=.tools/uv
if ! "$home/bin/uv" --version >/dev/null 2>&1; then
    # Debian and Ubuntu ship python3 without ensurepip, which `-m venv` needs.
    if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        scripts/debian_needs.sh --always python3-venv >&2
    fi
    echo "Installing uv into $home (once)" >&2
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement requirements/uv.txt >&2
fi
echo "$PWD/$home/bin/uv"
