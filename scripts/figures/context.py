"""make figure-context: decode time per token as the context grows, and whether it steps anywhere.

Packs SmolLM2-135M's shape with random weights (or takes --pack) and decodes in the native
executor: whole, in pieces, and as the runtime chooses. The pages hold zeros: times do not depend on
what is in them. Then contexts around boundaries are timed one by one: a page, a prefill chunk, the
context from which the runtime cuts. All take turns; the least of --rounds counts. Writes --plot;
the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from webbuild.native import NativeModel
from webbuild.schema.program import SPLIT_CONTEXT

CONTEXTS = (128, 512, 1024, 2048, 4096)
WAYS = {"whole": 10**9, "in pieces": 1, "as the runtime chooses": SPLIT_CONTEXT}
"""From which context on it is cut."""
CHOSEN = "as the runtime chooses"
NEAR = 4
"""Contexts timed on each side of a boundary."""
Point = tuple[str, int]
"""A way of decoding and a context."""


def webbuild(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "webbuild", *arguments, "--quiet"], check=True)


def boundaries(page: int, chunk: int) -> dict[str, int]:
    """Contexts that are the last before something begins."""
    return {
        "page": 16 * page,
        "prefill chunk": chunk,
        "cut into pieces": SPLIT_CONTEXT - 1,
        "four chunks": 4 * chunk,
    }


def around(last: int) -> range:
    return range(last - NEAR + 1, last + NEAR + 1)


def measure(
    model: NativeModel, points: Iterable[Point], rounds: int, steps: int
) -> dict[Point, float]:
    """Milliseconds per token."""
    sequence = model.sequence()
    least: dict[Point, float] = {}
    for number in range(rounds + 1):  # the first compiles
        for way, context in points:
            model.split_context = WAYS[way]
            model.rewind(sequence, context - 1)
            begin = time.perf_counter()
            for _ in range(steps):
                model.rewind(sequence, context - 1)
                model.decode([sequence], [1])
            model.logits()
            took = (time.perf_counter() - begin) / steps * 1000
            if number:
                least[way, context] = min(took, least.get((way, context), took))
    model.release(sequence)
    return least


def largest_steps(least: dict[Point, float], edges: dict[str, int], page: int) -> dict[str, float]:
    """The largest change from one context to the next, relative: where something begins, and
    elsewhere."""
    steps = dict.fromkeys([*edges, "elsewhere"], 0.0)
    for name, last in edges.items():
        for a, b in pairwise(around(last)):
            step = abs(least[CHOSEN, b] / least[CHOSEN, a] - 1)
            where = name if a == last else "page" if a % page == 0 else "elsewhere"
            steps[where] = round(max(steps[where], step), 4)
    return steps


def draw(
    path: Path, coarse: dict[Point, float], fine: dict[Point, float], edges: dict[str, int]
) -> None:
    """Writes the picture, by the path's suffix."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "webbuild"}):
        figure = Figure(figsize=(9.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for way, style in zip(WAYS, ("o--", "s--", "D-"), strict=True):
            left.plot(CONTEXTS, [coarse[way, c] for c in CONTEXTS], style, label=way, ms=4)
        left.set_xscale("log", base=2)
        left.set_xticks(CONTEXTS, [str(context) for context in CONTEXTS])
        left.minorticks_off()
        left.set_xlabel("tokens in the context")
        left.set_title("decode, ms per token", fontsize=10)
        for name, last in edges.items():
            times = [fine[CHOSEN, context] for context in around(last)]
            offsets = [context - last for context in around(last)]
            right.plot(offsets, times, "o-", label=f"{name}: {last} | {last + 1}", ms=4)
        right.axvline(0.5, color="gray", linestyle=":")
        right.set_xlabel("tokens past the last before a boundary")
        right.set_title("around boundaries, ms per token", fontsize=10)
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7, frameon=False, loc="lower right")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m", metavar="MODEL")
    parser.add_argument("--pack", type=Path, help="a pack that is there already")
    parser.add_argument("--tier", choices=("f16", "f32"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--plot", type=Path, default=Path("docs/images/context.svg"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack = args.pack
        if not pack:
            source, pack = Path(folder) / "source", Path(folder) / "pack"
            webbuild("synth", args.model, "-o", str(source))
            webbuild("pack", str(source), "-o", str(pack))
        model = NativeModel.open(pack, args.tier, context_length=max(CONTEXTS) + 1)
        page = model.pack.program.page_size
        edges = boundaries(page, model.pack.manifest.limits.prefill_chunk)
        points = [(way, context) for context in CONTEXTS for way in WAYS]
        coarse = measure(model, points, args.rounds, args.steps)
        points = [(CHOSEN, context) for last in edges.values() for context in around(last)]
        fine = measure(model, points, 2 * args.rounds, args.steps // 2 or 1)
    draw(args.plot, coarse, fine, edges)
    print("| context | " + " | ".join(WAYS) + " |")
    print("|---" * (1 + len(WAYS)) + "|")
    for context in CONTEXTS:
        print(f"| {context} | " + " | ".join(f"{coarse[way, context]:.1f}" for way in WAYS) + " |")
    first, last = CONTEXTS[0], CONTEXTS[-1]
    growth = {way: round(coarse[way, last] / coarse[way, first], 3) for way in WAYS}
    times = {way: {c: round(coarse[way, c], 2) for c in CONTEXTS} for way in WAYS}
    steps = largest_steps(fine, edges, page)
    print(json.dumps({"ms": times, "growth": growth, "largest_step": steps}))


if __name__ == "__main__":
    main()
