#!/usr/bin/env bash
# Makes .venv with the package in editable form and everything the tests need.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

python=${PYTHON:-python3}
command -v "$python" >/dev/null || apt_install python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "webbuild needs Python 3.11 or newer; $python is $("$python" --version). Set PYTHON=…"
# Debian splits the venv module from Python.
"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
  say "Creating .venv"
  rm -rf .venv
  "$python" -m venv .venv
fi
say "Installing Python packages (versions from requirements.lock)"
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
  --constraint requirements.lock --editable '.[dev]'
