#!/usr/bin/env bash
# Runs the tests of tests/cluster, and the conformance tests in containers of our image:
#   cluster_tests.sh COVERAGE [--short]
# Branch coverage of the operator under COVERAGE percent fails. With --short, the tests marked `long` and the containers are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/once_more.sh
gate=$1
length=${2:-whole}

.venv/bin/coverage erase
RUN=".venv/bin/coverage run" once_more -m "not node" -n 2 tests/cluster tests/unit/operator
.venv/bin/coverage combine --quiet
.venv/bin/coverage report --fail-under="$gate" --include="operator/*"

# A machine has one node at a time: what needs it runs in one process.
if [ "$length" = --short ]; then
    once_more -m "node and not long" tests/cluster
    exit
fi
once_more -m node tests/cluster
TUSFLEET_TEST_DEPLOYMENT=standalone,minio,image once_more -n 2 tests/conformance
