#!/usr/bin/env bash
# Runs the tests that take minutes: those marked `long`, then the conformance tests on two fleets.
# Some measure times of a second or less, which what runs beside them can spoil: what failed is run once more, alone.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

together() {
    "$python" -m pytest -n auto "$@" && return
    echo "Once more, with nothing beside it, what failed:"
    # Whole folders are left out then, and modules come to be imported in another order than they are announced in.
    "$python" -m pytest -n 0 -W ignore::pytest.PytestAssertRewriteWarning --last-failed --last-failed-no-failures=none "$@"
}

together -m "long and not cluster"
for fleet in cluster,minio sentinel,versitygw; do
    echo "Conformance on two gateways: $fleet"
    TUSFLEET_TEST_DEPLOYMENT=$fleet together tests/conformance
done
