"""make figure-serving: tokens per second of several requests at once, beside one after another.

The demo model and a synthetic SmolLM2-135M (q4f16_1) in Chromium, through the npm package: requests
with prompts of their own, none of which ends early, one after another and all at once, in turns;
the best round of each counts, by the clock and by the processor time that all of the browser takes
for a token, to which it matters less what else the machine does. Then the time to the first token
of a conversation's second turn, and what somebody who streams notices of a long prompt beside.
Before: `make setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from scripts.figures.builds import this_build
from scripts.figures.pages import DEMO, endless, run_script, temporary_site

NUMBERS = ("requests", "words", "tokens", "rounds", "long")


def measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of one model, in one engine."""
    pack = DEMO if model == "demo" else this_build().pack(model)
    with temporary_site(pack) as site:
        endless(site / "pack" / "pack.json")
        options = {key: getattr(args, key) for key in NUMBERS}
        answer: dict[str, Any] = run_script("serving_in_chromium.mjs", site, json.dumps(options))
    alone, together = (max(answer[key]) for key in ("alone", "together"))
    cost, shared_cost = (min(answer["costs"][key]) for key in ("alone", "together"))
    return {
        "model": model,
        "tier": answer["tier"],
        "adapter": answer["adapter"],
        "requests": args.requests,
        "prompt_tokens": answer["prompt_tokens"],
        "tokens": args.tokens,
        "sequential": round(alone, 1),
        "at_once": round(together, 1),
        "ratio": round(together / alone, 2),
        "processor_ms": {"sequential": round(cost, 2), "at_once": round(shared_cost, 2)},
        "processor_ratio": round(cost / shared_cost, 2),
        "same_answers": answer["same_answers"],
        "mean_batch": round(answer["mean_batch"], 1),
        "step_ms": rounded(answer["step_ms"]),
        "turn": rounded(answer["turn"]),
        "rhythm": rounded(answer["rhythm"]),
    }


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds with two digits, in dicts of dicts too."""
    return {
        key: rounded(value) if isinstance(value, dict) else round(value, 2)
        for key, value in values.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=("demo", "smollm2-135m"))
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--words", type=int, default=6, help="of a prompt, besides its template")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=300, help="words of a long prompt")
    args = parser.parse_args()
    rows = [measure(model, args) for model in args.models]
    print(f"tokens/s of {args.requests} requests, {args.tokens} tokens each")
    heads = (
        "model | tier | adapter | prompt | one by one | at once | ratio | processor | mean batch"
    )
    print(f"| {heads} |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        keys = ("model", "tier", "adapter", "prompt_tokens", "sequential", "at_once")
        cells = [str(row[key]) for key in keys]
        cells += [f"**{row['ratio']}×**", f"{row['processor_ratio']}×", str(row["mean_batch"])]
        print("| " + " | ".join(cells) + " |")
    print("\nsecond turn and a long prompt beside somebody who streams, ms")
    print("| model | prompt | cached | first token | recomputed | gap, alone | gap, beside (p95) |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        turn, rhythm = row["turn"], row["rhythm"]
        cells = [row["model"], turn["prompt_tokens"], turn["cached_tokens"]]
        cells += [turn["first_ms"], turn["recomputed_ms"], rhythm["alone"]["median"]]
        cells += [f"{rhythm['beside_prompt']['median']} ({rhythm['beside_prompt']['p95']})"]
        print("| " + " | ".join(map(str, cells)) + " |")
    print(json.dumps({"rows": rows}))
    if not all(row["same_answers"] for row in rows):
        sys.exit("answers at once differ from those one after another")


if __name__ == "__main__":
    main()
