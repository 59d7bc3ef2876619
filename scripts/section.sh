#!/usr/bin/env bash
# section.sh TITLE COMMAND...: runs the command under a heading and prints how long it took.
set -uo pipefail
title=$1
shift
printf '\n\033[1m━━ %s\033[0m\n' "$title"
start=$SECONDS
"$@"
status=$?
verdict=$([ $status = 0 ] && echo passed || echo "FAILED ($status)")
printf '\033[1m━━ %s: %s, %d s\033[0m\n' "$title" "$verdict" $((SECONDS - start))
exit $status
