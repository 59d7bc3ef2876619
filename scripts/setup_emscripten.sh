#!/usr/bin/env bash
# Emscripten, which compiles wasm/. Prints a line that, evaluated, brings emcc into PATH: nothing if there is a new one already,
# else one of Debian's packages, unpacked under DIR (2 GB), which leaves the system alone. Usage: setup_emscripten.sh DIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"

needed=3.1.69
new_enough() {
  local version
  version=$(emcc --version 2>/dev/null | sed -nE '1s/.* ([0-9]+\.[0-9]+\.[0-9]+).*/\1/p')
  [ -n "$version" ] && [ "$(printf '%s\n' "$needed" "$version" | sort -V | head -1)" = "$needed" ]
}

if new_enough; then exit 0; fi
codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
if ! is_debian || [[ ! $codename =~ ^(bookworm|trixie)$ ]] || [ "$(dpkg --print-architecture)" != amd64 ]; then
  die "Compiling wasm/ needs Emscripten $needed or newer in PATH: install the emsdk, activate it, and run this again."
fi
if [ "$codename" = trixie ]; then
  apt_install emscripten >&2
  exit 0
fi

mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
if [ ! -e "$dir/env.sh" ]; then
  say "Setting up Emscripten in ${dir#"$root"/}"
  rm -rf "${dir:?}"/*
  # 1. Debian 12's Emscripten is too old, and Debian 13's wants a newer C library than Debian 12 has. So its scripts and Binaryen come
  #    from Debian 13, with the library for Binaryen; clang 19 from Debian 12. The package lists of the machine stay as they are.
  archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" { print $2; exit }')
  [ -n "$archive" ] || die "apt has no source for Debian bookworm to find Emscripten beside"
  mkdir -p "$dir"/{apt/lists/partial,apt/archives/partial,llvm,binaryen,emscripten,bin/llvm,bin/binaryen/bin}
  for suite in bookworm trixie; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main"
  done >"$dir/apt/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt" -o "APT::Sandbox::User=$(id -un)")
  apt-get "${options[@]}" update >&2
  unpack() { # unpack INTO PACKAGE/SUITE...
    local into=$1 package
    shift
    (cd "$dir/apt" && rm -f ./*.deb && apt-get "${options[@]}" download "$@" >&2)
    for package in "$dir"/apt/*.deb; do dpkg -x "$package" "$into"; done
  }
  unpack "$dir/llvm" {clang-19,lld-19,llvm-19,libllvm19,libclang-cpp19,libclang1-19,libclang-common-19-dev,llvm-19-linker-tools}/bookworm
  unpack "$dir/binaryen" {binaryen,libc6,libstdc++6,libgcc-s1}/trixie
  unpack "$dir/emscripten" emscripten/trixie
  rm -rf "$dir/apt"

  # 2. Programs that find their libraries.
  libraries=usr/lib/x86_64-linux-gnu
  for tool in "$dir"/binaryen/usr/bin/wasm*; do
    printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' \
      "$dir/binaryen/usr/lib64/ld-linux-x86-64.so.2" "$dir/binaryen/$libraries" "$tool" >"$dir/bin/binaryen/bin/${tool##*/}"
  done
  for tool in "$dir"/llvm/usr/lib/llvm-19/bin/*; do
    for name in "${tool##*/}" "${tool##*/}-19"; do # emcc calls them by either name
      printf '#!/bin/bash\nLD_LIBRARY_PATH=%q exec -a "$0" %q "$@"\n' \
        "$dir/llvm/usr/lib/llvm-19/lib:$dir/llvm/$libraries" "$tool" >"$dir/bin/llvm/$name"
    done
  done
  chmod +x "$dir"/bin/llvm/* "$dir"/bin/binaryen/bin/*

  # 3. Emscripten's own settings.
  scripts=$dir/emscripten/usr/share/emscripten
  cat >"$dir/config.py" <<CONFIG
EMSCRIPTEN_ROOT = '$scripts'
LLVM_ROOT = '$dir/bin/llvm'
BINARYEN_ROOT = '$dir/bin/binaryen'
NODE_JS = '$(command -v node)'
CACHE = '$scripts/cache'
CONFIG
  printf 'export EM_CONFIG=%q PATH=%q:$PATH\n' "$dir/config.py" "$scripts:$dir/bin/llvm" >"$dir/env.sh"
fi
cat "$dir/env.sh"
