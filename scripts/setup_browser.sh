#!/usr/bin/env bash
# Chooses the WebGPU adapter for demo and tests and writes its name to .cache/adapter: the machine's
# own where Chrome finds a GPU, else the software GPU (Debian only).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
mkdir -p .cache

adapter=${WEBBUILD_ADAPTER:-default}
if [ "$adapter" = default ] && ! node scripts/browser.mjs probe default >.cache/probe.log 2>&1; then
  is_debian || die "No browser with a usable WebGPU adapter was found. Install Chrome on a machine with a GPU,
or name a browser in WEBBUILD_CHROMIUM. $(tail -1 .cache/probe.log)"
  adapter=lavapipe
fi
if [ "$adapter" = lavapipe ]; then
  scripts/software_gpu/setup.sh .cache/software-gpu
fi
[ "$adapter" = default ] || node scripts/browser.mjs probe "$adapter" >.cache/probe.log ||
  die "WebGPU does not start on $adapter: node scripts/browser.mjs probe $adapter"
echo "$adapter" >.cache/adapter
say "WebGPU adapter for demo and tests: $adapter"
