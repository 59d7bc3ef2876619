"""make figure-tools: the demo model's tool tasks through the API, with calls constrained and free.

The held-out questions of tool_choice and tool_result, greedily, in Node on Dawn. `auto`: all of
them, right when calls and content are those of the item; `required` and `named`: those that want a
call, right when it is that one. `--drawn 500` draws so many questions anew, which are held out from
training too. A table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from demo_model.data import held_out_items
from demo_model.evaluate import HELD_OUT, first_of_each, item_record, read_items
from scripts.figures.builds import this_build
from scripts.figures.pages import DEMO, run_script

TASKS = ("tool_choice", "tool_result")
DRAWN_SEED = 3
OPEN, CLOSE = "<tool_call>", "</tool_call>"


def call_of(text: str) -> dict[str, Any] | None:
    """The call that an item's text is, if it is one."""
    if not text.startswith(OPEN):
        return None
    call: dict[str, Any] = json.loads(text.removeprefix(OPEN).removesuffix(CLOSE))
    return call


def question(record: dict[str, Any]) -> dict[str, Any]:
    """An item as a request: calls in its history as messages have them."""
    messages: list[dict[str, Any]] = []
    last = ""
    for i, message in enumerate(record["messages"]):
        call = call_of(message["content"]) if message["role"] == "assistant" else None
        if call:
            function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
            last = f"call_{i}"
            calls = [{"id": last, "type": "function", "function": function}]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        elif message["role"] == "tool":
            messages.append({**message, "tool_call_id": last})
        else:
            messages.append(message)
    wanted = call_of(record["expected"])
    return {
        "task": record["task"],
        "messages": messages,
        "tools": record["tools"],
        "call": wanted,
        "content": None if wanted else record["expected"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=DEMO)
    parser.add_argument("--limit", type=int, help="this many items of each task")
    parser.add_argument("--drawn", type=int, help="so many new items of each task")
    args = parser.parse_args()
    items = [item for item in read_items(HELD_OUT) if item.task in TASKS]
    if args.drawn:
        items = held_out_items(args.drawn, DRAWN_SEED, TASKS)
    if args.limit:
        items = first_of_each(items, args.limit)
    questions = [question(item_record(item)) for item in items]
    runtime = this_build().runtime
    result = run_script("tools_in_node.mjs", runtime, args.pack, stdin=json.dumps(questions))
    print("| task | tool_choice | items | held to their form | free |")
    print("|---|---|---:|---:|---:|")
    for row in result["rows"]:
        cells = [f"{100 * row[kind] / row['items']:.1f} %" for kind in ("constrained", "free")]
        print(f"| {row['task']} | {row['choice']} | {row['items']} | " + " | ".join(cells) + " |")
    for miss in result["misses"]:
        print("  " + json.dumps(miss, ensure_ascii=False))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
