"""make figure-speculation: tokens per second with guessed tokens, beside without.

Prompts of the demo model's held-out tasks (copying, JSON, chat; chat drawn at temperature 1 too),
one after another in Chromium, each without guesses, with what texts repeat, and with a draft pack,
both adaptive, in turns; the ratio is the median over rounds. Two targets: the demo model itself,
which its own copy can't draft for with any gain, and the same model with layers that add nothing
(their output projections are zero), so that it says the same at several times the cost: a stand-in
for a large model with a good draft. Answers are short, and each prompt is new to its engine.
Before: `make setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
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
        for way, rounds in ways.items():
            totals = {key: sum(one[key] for one in rounds) for key in rounds[0]}
            pairs = zip(ways["off"], rounds, strict=True)
            ratio = statistics.median(off["ms"] / mine["ms"] for off, mine in pairs)
            rows.append(
                {
                    "target": name,
                    "workload": workload,
                    "guesses": way,
                    "tokens_per_s": round(1000 * totals["tokens"] / totals["ms"], 1),
                    "ratio": round(ratio, 3),
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
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--context", type=int, default=160)
    parser.add_argument("--pause", type=int, default=150, help="ms before each request")
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
    keys = ("target", "workload", "guesses", "tokens_per_s", "ratio", "acceptance")
    print("| target | workload | guesses | tokens/s | ratio | acceptance | tokens per step |")
    print("|---|---|---|---:|---:|---:|---:|")
    for result in results:
        for row in result["rows"]:
            print("| " + " | ".join(str(row[key]) for key in (*keys, "tokens_per_step")) + " |")
    print(json.dumps({"targets": results}))


if __name__ == "__main__":
    main()
