"""Speed and memory of `webbuild pack`, next to a plain copy of the same bytes.

    python scripts/figures/pack.py llama-3.2-1b llama-3-8b [--keep DIR]

For each model: synthesises it at full size, packs it in a process of its own, and prints input
size, time, MB/s of input, peak resident memory, and the MB/s of reading and writing the input.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHUNK = 8 << 20


def timed(command: list[str]) -> tuple[float, int]:
    """Runs a command; seconds and peak resident bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    text = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(text.decode())
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def copy(folder: Path, target: Path) -> float:
    """Reads the weights and writes them again, to the disk; seconds."""
    start = time.perf_counter()
    with target.open("wb", buffering=0) as out:
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb", buffering=0) as file:
                while chunk := file.read(CHUNK):
                    out.write(chunk)
        os.fsync(out.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def measure(model: str, quant: str, folder: Path) -> None:
    webbuild = [sys.executable, "-m", "webbuild"]
    source, pack = folder / model, folder / f"{model}-{quant}"
    if not source.is_dir():
        synth, _ = timed([*webbuild, "synth", model, "-o", str(source)])
        print(f"{model}: synthesised in {synth:.0f} s", flush=True)
    nbytes = sum(path.stat().st_size for path in source.glob("*.safetensors"))
    plain = copy(source, folder / "copy")
    command = [*webbuild, "pack", str(source), "-o", str(pack), "--quant", quant, "--force"]
    seconds, peak = timed(command)
    stored = sum(path.stat().st_size for path in pack.iterdir())
    print(
        f"{model} {quant}: {nbytes / 1e9:.2f} GB in, {stored / 1e9:.2f} GB out, {seconds:.0f} s, "
        f"{nbytes / seconds / 1e6:.0f} MB/s (all of pack, compiling included), "
        f"peak memory {peak / 1e6:.0f} MB; plain copy {nbytes / plain / 1e6:.0f} MB/s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--quant", default="q4f16_1")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave everything there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="webbuild-figures-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for model in arguments.models:
            measure(model, arguments.quant, folder)


if __name__ == "__main__":
    main()
