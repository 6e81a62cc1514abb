#!/bin/sh
# The tests that take minutes each, which scripts/test.sh leaves out.   sh scripts/test_slow.sh
set -eu
exec sh "$(dirname "$0")/test.sh" -m slow "$@"
