#!/usr/bin/env bash
# Runs the tests that take minutes: those marked `long`, then the conformance tests on fleets:
#   fleet_tests.sh REDIS,STORE...
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/once_more.sh

once_more -n auto -m "long and not cluster"
for fleet in "$@"; do
    echo "Conformance on two gateways: $fleet"
    TUSFLEET_TEST_DEPLOYMENT=$fleet once_more -n auto tests/conformance
done
