#!/bin/sh
# The same as scripts/fetch_pretrained_teachers.sh, under the name that users of the published code know.
exec sh "$(dirname -- "$0")/scripts/fetch_pretrained_teachers.sh" "$@"
