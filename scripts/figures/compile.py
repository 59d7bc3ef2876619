"""make figure-compile: what each kernel of a pack costs a device that has never compiled it.

For the kernels that a software adapter keeps: processor seconds in Dawn (the compiler of Chromium)
until the pipeline is made, and for its first run, which is when lavapipe compiles. The shader cache
is an empty folder. Before: `make setup`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from scripts.figures.builds import REPOSITORY
from webbuild.native.choose import choose_kernels
from webbuild.native.pack import Pack
from webbuild.schema.program import Tier

#: The functions that the first answer runs.
EVERY_ANSWER = {"prefill", "decode", "sample_plain"}
DEMO = REPOSITORY / "demo_site" / "public" / "packs" / "demo"


def kept(pack: Pack, tier: str) -> Tier:
    """A tier of the pack with the kernels that Chromium keeps on lavapipe."""
    features = {"shader-f16", "subgroups"}
    return choose_kernels(pack.program.tiers[tier], pack.kernels.kernels, features, software=True)


def measure(kernels: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    script = REPOSITORY / "scripts" / "figures" / "compile_kernels.mjs"
    with tempfile.TemporaryDirectory() as cache:
        process = subprocess.run(
            ["node", str(script)],
            input=json.dumps(kernels),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "MESA_SHADER_CACHE_DIR": cache},
        )
    seconds: dict[str, dict[str, float]] = json.loads(process.stdout)["seconds"]
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--tier", default="f16")
    parser.add_argument("--only", default="", help="kernels with this in their name")
    args = parser.parse_args()
    pack = Pack.open(args.pack)
    tier = kept(pack, args.tier)
    users: dict[str, list[str]] = {}
    for name, function in tier.functions.items():
        for used in dict.fromkeys(launch.kernel for launch in function.launches):
            users.setdefault(used, []).append(name)
    chosen = {
        key: pack.kernels.kernels[key]
        for key in users
        if args.only in pack.kernels.kernels[key].name
    }
    dumped = [{"id": key, **one.model_dump(mode="json")} for key, one in chosen.items()]
    seconds = measure(dumped)
    print("| kernel | functions | bytes of WGSL | pipeline s | first run s |")
    print("|---|---|---:|---:|---:|")
    for key, kernel in chosen.items():
        parts = " | ".join(f"{seconds[key][part]:.2f}" for part in ("pipeline", "first_run"))
        print(f"| {kernel.name} | {' '.join(users[key])} | {len(kernel.wgsl)} | {parts} |")
    totals = {key: sum(parts.values()) for key, parts in seconds.items()}
    answer = [key for key in chosen if EVERY_ANSWER & set(users[key])]
    figures = {
        "kernels": len(chosen),
        "seconds": round(sum(totals.values()), 1),
        "answer_kernels": len(answer),
        "answer_seconds": round(sum(totals[key] for key in answer), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
