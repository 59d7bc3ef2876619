#!/usr/bin/env bash
# Builds the grammar engine: XGrammar, whose source is downloaded and checked, with our C ABI (wasm/grammar). Prints the folder
# that has grammar.wasm and grammar.LICENSE.txt. It is named by a hash of all that goes in, so nothing is built twice.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

version=0.2.8
sha256=8305646fd2b319d6c3003f51a1665e54cbbe9cba1fb636bc41d0b46434ccbb80

# Exceptions are how XGrammar tells what is wrong; WebAssembly's own cost nothing until thrown. What makes masks is compiled for
# speed, what reads grammars for size.
compile=(-std=c++17 -DNDEBUG -fwasm-exceptions -msimd128 -include wasm/grammar/logging.h)
fast=-O2
small=-Oz
# The stack lies below all data, so that a stack that overflows traps, and can't write over anything.
link=(-O2 -fwasm-exceptions -msimd128 --no-entry -sSTANDALONE_WASM -sALLOW_MEMORY_GROWTH=1 -sMAXIMUM_MEMORY=1GB
  -sSTACK_SIZE=4MB -Wl,--stack-first -Wl,--export=__stack_pointer -sEXPORTED_FUNCTIONS=_malloc,_free -sFILESYSTEM=0)

key=$( (cat wasm/grammar/*; echo "$sha256 ${compile[*]} $fast $small ${link[*]}") | sha256sum | cut -c1-16)
out=$root/.cache/grammar/$key
if [ -e "$out/grammar.wasm" ]; then
  echo "$out"
  exit 0
fi

say "Building the grammar engine (XGrammar $version; a few minutes, once)"
mkdir -p .cache/grammar
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/objects" "$work/built"
python=.venv/bin/python
[ -x "$python" ] || python=${PYTHON:-python3}
echo "xgrammar==$version --hash=sha256:$sha256" >"$work/requirements.txt"
"$python" -m pip download -qq --disable-pip-version-check --no-input --no-deps --no-binary xgrammar --require-hashes \
  --requirement "$work/requirements.txt" --dest "$work" >&2
echo "$sha256  $work/xgrammar-$version.tar.gz" | sha256sum --check --quiet >&2
tar -xzf "$work/xgrammar-$version.tar.gz" -C "$work"
source=$work/xgrammar-$version

emscripten=$(scripts/setup_emscripten.sh .cache/emscripten)
eval "$emscripten"

include=(-I"$source/include" -I"$source/cpp" -I"$source/3rdparty/picojson" -I"$source/3rdparty/dlpack/include")
object() { # object NAME FLAG...
  em++ -c "wasm/grammar/$1.cc" -o "$work/objects/$1.o" "${@:2}" "${compile[@]}" "${include[@]}" >&2
}
object xgrammar "$small" &
reading=$!
for name in chart abi logging; do object "$name" "$fast"; done
wait "$reading"
em++ "${link[@]}" "$work"/objects/*.o -o "$work/built/grammar.wasm" >&2

{
  echo "grammar.wasm contains XGrammar $version, unchanged, DLPack's header and picojson. Their licences:"
  for file in NOTICE LICENSE 3rdparty/dlpack/LICENSE; do
    [ ! -e "$source/$file" ] || { printf '\n=== XGrammar: %s\n\n' "$file" && cat "$source/$file"; }
  done
  printf '\n=== picojson\n\n'
  sed -n '1,/\*\//p' "$source/3rdparty/picojson/picojson.h"
} >"$work/built/grammar.LICENSE.txt"
[ -e "$out" ] || mv "$work/built" "$out"
echo "$out"
