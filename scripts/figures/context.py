"""make figure-context: decode time per token as the context grows, and whether it steps anywhere.

Packs SmolLM2-135M's shape with random weights (or takes --pack) and decodes in the native
executor: whole, in pieces, and as the runtime chooses. The pages hold zeros: times do not depend on
what is in them. Then contexts around boundaries are timed one by one: a page, a prefill chunk, the
context from which the runtime cuts. All take turns; the least of --rounds counts. Software adapters
are measured in processor time too, of all threads: what else the machine does matters less to it,
and so steps and the picture go by it. Writes --plot; the last line is one JSON object.
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
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from webbuild.native import NativeModel
from webbuild.native.device import open_device
from webbuild.schema.program import SOFTWARE_SPLIT_CONTEXT

CONTEXTS = (128, 512, 1024, 2048, 4096)
WAYS = {"whole": 10**9, "in pieces": 1, "as the runtime chooses": SOFTWARE_SPLIT_CONTEXT}
"""From which context on it is cut."""
CHOSEN = "as the runtime chooses"
NEAR = 4
"""Contexts timed on each side of a boundary."""
Point = tuple[str, int]
"""A way of decoding and a context."""
Times = dict[Point, float]
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def webbuild(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "webbuild", *arguments, "--quiet"], check=True)


def boundaries(page: int, chunk: int) -> dict[str, int]:
    """Contexts that are the last before something begins."""
    return {
        "page": 16 * page,
        "prefill chunk": chunk,
        "cut into pieces": SOFTWARE_SPLIT_CONTEXT - 1,
        "four chunks": 4 * chunk,
    }


def around(last: int) -> range:
    return range(last - NEAR + 1, last + NEAR + 1)


def measure(
    model: NativeModel, points: Iterable[Point], rounds: int, steps: int
) -> dict[str, Times]:
    """Milliseconds per token, by clock."""
    sequence = model.sequence()
    least: dict[str, Times] = {name: {} for name in CLOCKS}
    for number in range(rounds + 1):  # the first compiles
        for way, context in points:
            model.split_context = WAYS[way]
            model.rewind(sequence, context - 1)
            begins = {name: clock() for name, clock in CLOCKS.items()}
            for _ in range(steps):
                model.rewind(sequence, context - 1)
                model.decode([sequence], [1])
            model.logits()
            for name, clock in CLOCKS.items():
                took = (clock() - begins[name]) / steps * 1000
                if number:
                    known = least[name].get((way, context), took)
                    least[name][way, context] = min(took, known)
    model.release(sequence)
    return least


def largest_steps(least: Times, edges: dict[str, int], page: int) -> dict[str, float]:
    """The largest change from one context to the next, relative: where something begins, and
    elsewhere."""
    steps = dict.fromkeys([*edges, "elsewhere"], 0.0)
    for name, last in edges.items():
        for a, b in pairwise(around(last)):
            step = abs(least[CHOSEN, b] / least[CHOSEN, a] - 1)
            where = name if a == last else "page" if a % page == 0 else "elsewhere"
            steps[where] = round(max(steps[where], step), 4)
    return steps


def draw(path: Path, coarse: Times, fine: Times, edges: dict[str, int], clock: str) -> None:
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
        left.set_title(f"decode, ms per token ({clock} time)", fontsize=10)
        for name, last in edges.items():
            times = [fine[CHOSEN, context] for context in around(last)]
            offsets = [context - last for context in around(last)]
            right.plot(offsets, times, "o-", label=f"{name}: {last} | {last + 1}", ms=4)
        right.axvline(0.5, color="gray", linestyle=":")
        right.set_xlabel("tokens past the last before a boundary")
        right.set_title(f"around boundaries, ms per token ({clock} time)", fontsize=10)
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7, frameon=False, loc="lower right")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(
            path,
            metadata={"Date": None, "Title": "Decode time as the context grows"}
            if path.suffix == ".svg"
            else None,
        )


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
    clocks = list(CLOCKS) if open_device().software else ["wall"]
    draw(args.plot, coarse[clocks[-1]], fine[clocks[-1]], edges, clocks[-1])
    columns = [(clock, way) for clock in clocks for way in WAYS]
    print("| context | " + " | ".join(f"{way}, {clock}" for clock, way in columns) + " |")
    print("|---:" * (1 + len(columns)) + "|")
    for context in CONTEXTS:
        row = [f"{coarse[clock][way, context]:.1f}" for clock, way in columns]
        print(f"| {context} | " + " | ".join(row) + " |")
    figures: dict[str, Any] = {}
    for clock, way in columns:
        ms = {context: round(coarse[clock][way, context], 2) for context in CONTEXTS}
        growth = round(ms[CONTEXTS[-1]] / ms[CONTEXTS[0]], 3)
        figures.setdefault(clock, {})[way] = {"ms": ms, "growth": growth}
    steps = largest_steps(fine[clocks[-1]], edges, page)
    print(json.dumps({**figures, "largest_step": steps}))


if __name__ == "__main__":
    main()
