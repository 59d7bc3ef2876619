#!/usr/bin/env bash
# with_env.sh COMMAND...: runs it with the Python environment first in PATH and, where the software
# GPU was set up, with the variables by which wgpu and Dawn find it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ "$(cat "$root/.cache/adapter" 2>/dev/null)" = lavapipe ]; then
  . "$root/.cache/software-gpu/env.sh"
fi
export PATH="$root/.venv/bin:$root/node_modules/.bin:$PATH"
exec "$@"
