"""make figure-pack: peak memory and speed of `webbuild pack` on models of full size.

Makes Llama-3.2-1B and Llama-3-8B with random weights (`webbuild synth`), packs them, and compares
with a plain read and write of the same bytes. Needs 25 GB in --dir for the 8B model; deletes what
it wrote. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODELS = ("llama-3.2-1b", "llama-3-8b")
BLOCK = 8 << 20


def run(*arguments: str) -> tuple[float, int]:
    """Runs the command line; returns seconds and the process's peak resident bytes."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "webbuild", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"webbuild {' '.join(arguments)} failed: {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - start, usage.ru_maxrss * unit


def forget(files: list[Path]) -> None:
    """Takes the files out of the page cache, so that reading means reading."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copy(files: list[Path], target: Path) -> float:
    """Seconds to read all files and write their bytes, one file at a time to save disk."""
    start = time.monotonic()
    for path in files:
        with path.open("rb") as source, target.open("wb") as sink:
            while block := source.read(BLOCK):
                sink.write(block)
            sink.flush()
            os.fsync(sink.fileno())
        target.unlink()
    return time.monotonic() - start


def measure(model: str, quant: str, folder: Path) -> dict[str, Any]:
    source, pack = folder / "source", folder / "pack"
    run("synth", model, "-o", str(source), "--quiet")
    files = sorted(source.glob("*.safetensors"))
    nbytes = sum(path.stat().st_size for path in files)
    forget(files)
    copying = copy(files, folder / "copy")
    forget(files)
    seconds, peak = run("pack", str(source), "-o", str(pack), "--quant", quant, "--quiet")
    packed = sum(path.stat().st_size for path in pack.iterdir())
    shutil.rmtree(source)
    shutil.rmtree(pack)
    return {
        "model": model,
        "quantization": quant,
        "input_mb": round(nbytes / 1e6),
        "pack_mb": round(packed / 1e6),
        "peak_rss_mb": round(peak / 1e6),
        "seconds": round(seconds, 1),
        "mb_per_s": round(nbytes / 1e6 / seconds),
        "copy_mb_per_s": round(nbytes / 1e6 / copying),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--quant", default="q4f16_1")
    args = parser.parse_args()
    print("| model | input MB | pack MB | peak RSS MB | s | MB/s of input | copy MB/s |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    rows = []
    for model in args.models:
        with tempfile.TemporaryDirectory(dir=args.dir) as folder:
            row = measure(model, args.quant, Path(folder))
        rows.append(row)
        cells = [str(value) for key, value in row.items() if key != "quantization"]
        print("| " + " | ".join(cells) + " |", flush=True)
    print(json.dumps({"rows": rows, "peak_rss_mb": max(row["peak_rss_mb"] for row in rows)}))


if __name__ == "__main__":
    main()
