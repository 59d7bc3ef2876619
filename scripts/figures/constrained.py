"""make figure-constrained: time per token of answers that must match a schema.

The demo model and a synthetic SmolLM2-135M (q4f16_1) in Chromium, through the npm package: the same
prompt, answers of the same length, free and as a JSON Schema asks, one after another in turns
(A B A B), in one engine. The schema asks for a list that is never complete before the answer's
length; free answers go on at their end. Drawn at temperature 1, where a model of this size rambles
and comes to ever new places of the grammar, and greedy, where it comes to the same. Counted from
the first token to the last; the ratio is the median over rounds of neighbours, the times are the
best round's. Of processor time, which other work disturbs less, it is that of whole answers over
all rounds. Then the same with forced tokens added without being drawn (jump-forward). Before:
`make setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from scripts.figures.builds import this_build
from scripts.figures.pages import DEMO, run_script, temporary_site

NUMBERS = ("tokens", "rounds", "requests")
TEMPERATURES = (1, 0)
SCHEMA = {
    "type": "array",
    "minItems": 1000,
    "items": {
        "type": "object",
        "properties": {
            "city": {"enum": ["London", "Lisbon", "Bern", "Berlin", "Paris"]},
            "temperature": {"type": "integer"},
            "description": {"type": "string"},
            "raining": {"type": "boolean"},
        },
        "required": ["city", "temperature", "description", "raining"],
        "additionalProperties": False,
    },
}


def measure(model: str, temperature: float, args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of one model, in one engine."""
    pack = DEMO if model == "demo" else this_build().pack(model)
    with temporary_site(pack) as site:
        options = {key: getattr(args, key) for key in NUMBERS}
        options |= {"schema": SCHEMA, "temperature": temperature}
        answer: dict[str, Any] = run_script(
            "constrained_in_chromium.mjs", site, json.dumps(options)
        )
    ways = {way: min(of["ms"]) for way, of in answer["ways"].items()}
    ratios = {
        way: statistics.median(
            mine / free for mine, free in zip(of["ms"], answer["ways"]["free"]["ms"], strict=True)
        )
        for way, of in answer["ways"].items()
    }
    processor = {way: statistics.fmean(of["processor"]) for way, of in answer["ways"].items()}
    drawn = args.rounds * args.requests * args.tokens
    return {
        "model": model,
        "temperature": temperature,
        "tier": answer["tier"],
        "adapter": answer["adapter"],
        "requests": args.requests,
        "tokens": args.tokens,
        "ms_per_token": {way: round(ms, 3) for way, ms in ways.items()},
        "ratio": round(ratios["constrained"], 3),
        "jump_ratio": round(ratios["jumping"], 3),
        "processor_ratio": round(processor["constrained"] / processor["free"], 3),
        "mask_us": {key: round(us, 1) for key, us in answer["mask_us"].items()},
        "jumped": round(answer["jumped"], 3),
        "ahead": {
            way: {key: round(of[key] / drawn, 3) for key in ("ahead", "strayed")}
            for way, of in answer["ways"].items()
            if way != "free"
        },
        "valid_so_far": answer["valid"],
        "compile_ms": round(answer["compile_ms"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=("demo", "smollm2-135m"))
    parser.add_argument("--tokens", type=int, default=128, help="of an answer")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--requests", type=int, default=1, help="at once")
    args = parser.parse_args()
    rows = [measure(model, heat, args) for model in args.models for heat in TEMPERATURES]
    print(
        "| model | temperature | adapter | ms per token, free | constrained | ratio | processor "
        "| with jumps | ratio | jumped | mask, µs (most) | ran ahead | strayed |"
    )
    print("|---|---:|---|" + "---:|" * 10)
    for row in rows:
        ms, mask = row["ms_per_token"], row["mask_us"]
        cells = [row["model"], row["temperature"], row["adapter"], ms["free"], ms["constrained"]]
        cells += [f"**{row['ratio']}**", row["processor_ratio"]]
        cells += [ms["jumping"], row["jump_ratio"], row["jumped"]]
        cells.append(f"{mask['mean']} ({mask['max']})")
        cells += row["ahead"]["constrained"].values()
        print("| " + " | ".join(map(str, cells)) + " |")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
