"""make figure-context: decode time per token as the context grows, whole and in pieces.

Packs SmolLM2-135M's shape with random weights (or takes --pack) and decodes in the native
executor. The pages hold zeros: times do not depend on what is in them. Whole and pieces
alternate; the least of --rounds counts. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from webbuild.native import NativeModel

CONTEXTS = (128, 512, 1024, 2048, 4096)
SPLITS = {"whole": 10**9, "pieces": 1}
"""From which context on it is cut."""


def webbuild(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "webbuild", *arguments, "--quiet"], check=True)


def measure(pack: Path, tier: str | None, rounds: int, steps: int) -> dict[str, dict[int, float]]:
    """Milliseconds per token, by way of decoding and context."""
    model = NativeModel.open(pack, tier, context_length=max(CONTEXTS) + 1)
    sequence = model.sequence()
    least: dict[str, dict[int, float]] = {name: {} for name in SPLITS}
    for number in range(rounds + 1):  # the first compiles
        for context in CONTEXTS:
            for name, split_context in SPLITS.items():
                model.split_context = split_context
                model.rewind(sequence, context - 1)
                begin = time.perf_counter()
                for _ in range(steps):
                    model.rewind(sequence, context - 1)
                    model.decode([sequence], [1])
                model.logits()
                took = (time.perf_counter() - begin) / steps * 1000
                if number:
                    least[name][context] = min(took, least[name].get(context, took))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m", metavar="MODEL")
    parser.add_argument("--pack", type=Path, help="a pack that is there already")
    parser.add_argument("--tier", choices=("f16", "f32"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack = args.pack
        if not pack:
            source, pack = Path(folder) / "source", Path(folder) / "pack"
            webbuild("synth", args.model, "-o", str(source))
            webbuild("pack", str(source), "-o", str(pack))
        least = measure(pack, args.tier, args.rounds, args.steps)
    print("| context | " + " | ".join(f"{name}, ms" for name in least) + " |")
    print("|---" * (1 + len(least)) + "|")
    for context in CONTEXTS:
        row = " | ".join(f"{times[context]:.1f}" for times in least.values())
        print(f"| {context} | {row} |")
    first, last = CONTEXTS[0], CONTEXTS[-1]
    growth = {name: round(times[last] / times[first], 3) for name, times in least.items()}
    print(json.dumps({"ms": least, "growth": growth}))


if __name__ == "__main__":
    main()
