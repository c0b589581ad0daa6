#!/usr/bin/env bash
# Makes sure that programs are there:  debian_needs.sh COMMAND:PACKAGE[,PACKAGE...]...
# or that packages are:                debian_needs.sh --always PACKAGE...
# Root on Debian or Ubuntu gets them installed; anybody else gets the exact command to type.
set -euo pipefail

packages=()
if [ "${1:-}" = --always ]; then
    shift
    packages=("$@")
else
    for need in "$@"; do
        if ! command -v "${need%%:*}" >/dev/null 2>&1; then
            IFS=, read -r -a more <<<"${need#*:}"
            packages+=("${more[@]}")
        fi
    done
fi
[ "${#packages[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install what Debian calls: ${packages[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Please run:  sudo apt-get install -y ${packages[*]}" >&2
    exit 1
fi
# Two of these at once would be in each other's way.
exec 9>"${TMPDIR:-/tmp}/tusfleet-packages.lock"
flock 9
echo "Installing Debian packages: ${packages[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >"$log" 2>&1; }
# Package lists that are missing or old name versions that are gone: fetch them once and try again.
install || { apt-get update -qq >&2 && install; } || { cat "$log" >&2; exit 1; }
