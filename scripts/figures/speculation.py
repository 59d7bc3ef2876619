"""make figure-speculation: tokens per second with guessed tokens, beside without.

Prompts of the demo model's held-out tasks (copying, JSON, chat; chat drawn at temperature 1 too),
one after another in Chromium, without guesses and with adaptive ones, in turns in one engine: one
that guesses what texts repeat, and one that has a draft pack too. The ratio is that of all rounds'
times, with its standard error. Each is asked without twice: the control is how those compare. Two
targets: the demo model itself, which its own copy can't draft for with any gain, and the same model
with layers that add nothing (their output projections are zero), so that it says the same at
several times the cost: a stand-in for a large model with a good draft. Answers are short, and each
prompt is new to its engine. Before: `make setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from scripts.figures.builds import CACHE, REPOSITORY, this_build
from scripts.figures.pages import DEMO, run_script, temporary_site

CHECKPOINT = REPOSITORY / "builder" / "demo_model" / "checkpoint"
HELD_OUT = REPOSITORY / "builder" / "demo_model" / "heldout.jsonl"

#: Tasks of the held-out set, by what their answers are like.
WORKLOADS = {
    "copying": ("echo",),
    "json": ("extract", "obedience"),
    "chat": ("story", "project", "small_talk"),
}
DRAWN = {"temperature": 1.0, "seed": 1}
NUMBERS = ("tokens", "rounds", "context", "pause")


def deepened(layers: int) -> Path:
    """The demo model's checkpoint with layers appended, to `layers`, that change nothing."""
    out = CACHE / "sources" / f"demo-{layers}-layers"
    if out.is_dir():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=out.parent))
    for file in CHECKPOINT.iterdir():
        shutil.copyfile(file, partial / file.name)
    config = json.loads((CHECKPOINT / "config.json").read_text("utf-8"))
    weights = load_file(str(CHECKPOINT / "model.safetensors"))
    own = config["num_hidden_layers"]
    for layer in range(own, layers):
        like, prefix = f"model.layers.{layer % own}.", f"model.layers.{layer}."
        for name in [name for name in weights if name.startswith(like)]:
            silent = "o_proj" in name or "down_proj" in name
            value = np.zeros_like(weights[name]) if silent else weights[name]
            weights[prefix + name.removeprefix(like)] = value
    save_file(weights, str(partial / "model.safetensors"))
    config["num_hidden_layers"] = layers
    (partial / "config.json").write_text(json.dumps(config), "utf-8")
    partial.rename(out)
    return out


def requests(prompts: int) -> dict[str, list[dict[str, Any]]]:
    """Of each workload the prompts with the longest answers, as many of each task."""
    items = [json.loads(line) for line in HELD_OUT.read_text("utf-8").splitlines()]
    chosen: dict[str, list[dict[str, Any]]] = {}
    for workload, tasks in WORKLOADS.items():
        chosen[workload] = []
        for task in tasks:
            of_task = [item for item in items if item["task"] == task]
            of_task.sort(key=lambda item: -len(item["expected"]))
            for item in of_task[: prompts // len(tasks)]:
                chosen[workload].append({"messages": item["messages"], "temperature": 0})
    chosen["chat, drawn"] = [request | DRAWN for request in chosen["chat"]]
    return chosen


def compared(off: list[dict[str, float]], on: list[dict[str, float]]) -> tuple[float, float]:
    """How many times as fast, and the standard error, of rounds as pairs."""
    pairs = [(a["ms"], b["ms"]) for a, b in zip(off, on, strict=True)]
    ratio = sum(a for a, _ in pairs) / sum(b for _, b in pairs)
    logs = [math.log(a / b) for a, b in pairs]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return round(ratio, 3), round(error, 3)


def measure(name: str, target: Path, args: argparse.Namespace) -> dict[str, Any]:
    with temporary_site(target) as site:
        shutil.copytree(DEMO, site / "draft")
        options = {key: getattr(args, key) for key in NUMBERS}
        chosen = requests(args.prompts)
        options["workloads"] = {name: chosen[name] for name in args.workloads}
        answer: dict[str, Any] = run_script(
            "speculation_in_chromium.mjs", site, json.dumps(options)
        )
    cost = answer["draft"]["bytes"]["weights"] / answer["bytes"]
    rows = []
    for workload, ways in answer["results"].items():
        for guesses, rounds in ways.items():
            both = [
                {"ms": (a["ms"] + b["ms"]) / 2}
                for a, b in zip(rounds["off"], rounds["again"], strict=True)
            ]
            ratio, error = compared(both, rounds["on"])
            control, control_error = compared(rounds["off"], rounds["again"])
            totals = {key: sum(one[key] for one in rounds["on"]) for key in rounds["on"][0]}
            off = sum(one["ms"] for one in both)
            rows.append(
                {
                    "target": name,
                    "workload": workload,
                    "guesses": guesses,
                    "off_tokens_per_s": round(1000 * totals["tokens"] / off, 1),
                    "tokens_per_s": round(1000 * totals["tokens"] / totals["ms"], 1),
                    "ratio": ratio,
                    "error": error,
                    "control": control,
                    "control_error": control_error,
                    "guessed": totals["guessed"],
                    "acceptance": round(totals["accepted"] / max(1, totals["guessed"]), 3),
                    "tokens_per_step": round(totals["tokens"] / totals["steps"], 2),
                    "tokens": totals["tokens"] // args.rounds,
                }
            )
    return {
        "target": name,
        "tier": answer["tier"],
        "adapter": answer["adapter"],
        "draft_bytes_over_target": round(cost, 3),
        "same_answers": answer["same"],
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=36, help="of the deepened model")
    parser.add_argument("--prompts", type=int, default=6, help="of a workload")
    parser.add_argument("--tokens", type=int, default=64, help="most of an answer")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--context", type=int, default=160)
    parser.add_argument("--pause", type=int, default=100, help="ms before each request")
    parser.add_argument("--workloads", nargs="*", default=(*WORKLOADS, "chat, drawn"))
    parser.add_argument("--targets", nargs="*", default=("deep", "demo"))
    args = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    results = []
    for target in args.targets:
        if target == "demo":
            results.append(measure("demo, 6 layers", DEMO, args))
        else:
            source = deepened(args.layers)
            pack = this_build().pack(source.name, source=source)
            results.append(measure(f"the same, {args.layers} layers", pack, args))
    print(
        "| target | answers | tokens | off, tokens/s | guesses | on | ratio | control | guessed |",
        end="",
    )
    print(" acceptance | tokens per step |")
    print("|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|")
    for row in [row for result in results for row in result["rows"]]:
        cells = [
            row[key] for key in ("target", "workload", "tokens", "off_tokens_per_s", "guesses")
        ]
        cells += [row["tokens_per_s"], f"{row['ratio']} ± {row['error']}"]
        cells += [f"{row['control']} ± {row['control_error']}"]
        cells += [row[key] for key in ("guessed", "acceptance", "tokens_per_step")]
        print("| " + " | ".join(map(str, cells)) + " |")
    print(json.dumps({"targets": results}))


if __name__ == "__main__":
    main()
