"""make figure-demo-accuracy: the demo model's held-out tasks on every executor.

Columns: PyTorch in float32 (needs the checkpoint), PyTorch with the pack's dequantised weights, the
native executor, Chromium. A table per task; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from demo_model.evaluate import (
    HELD_OUT,
    LONGEST_ANSWER,
    answers,
    first_of_each,
    overall,
    read_items,
    scores,
)
from demo_model.items import Item
from scripts.figures.builds import REPOSITORY
from scripts.figures.pages import DEMO, run_script, temporary_site
from webbuild.native import NativeModel
from webbuild.reference import load_model

CHECKPOINT = REPOSITORY / "builder" / "demo_model" / "checkpoint"
SYSTEM = "<|im_start|>system\n", "<|im_end|>\n"


def prompt(tokenizer: Any, messages: list[Any], tools: list[Any] | None = None) -> str:
    text: str = tokenizer.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, tokenize=False
    )
    return text


def with_native(pack: Path, tokenizer: Any, items: list[Item]) -> list[str]:
    model = NativeModel.open(pack)
    given = []
    for item in items:
        text = prompt(tokenizer, list(item.messages), list(item.tools) or None)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        tokens = model.generate(ids, LONGEST_ANSWER)
        given.append(tokenizer.decode(tokens, skip_special_tokens=True))
    return given


def without_tools(tokenizer: Any, item: Item) -> list[Any]:
    """Messages that give the item's prompt without `tools`, which the chat API does not have."""
    messages: list[Any] = list(item.messages)
    for i, message in enumerate(messages):
        if message["role"] == "tool":  # the API wants to know which call this answers
            messages[i] = {**message, "tool_call_id": "call_0"}
    if not item.tools:
        return messages
    wanted = prompt(tokenizer, messages, list(item.tools))
    content = wanted.split(SYSTEM[0], 1)[1].split(SYSTEM[1], 1)[0]
    if messages[0]["role"] == "system":
        messages = messages[1:]
    folded = [{"role": "system", "content": content}, *messages]
    assert prompt(tokenizer, folded) == wanted
    return folded


def with_chromium(pack: Path, tokenizer: Any, items: list[Item]) -> list[str]:
    conversations = [without_tools(tokenizer, item) for item in items]
    with temporary_site(pack) as site:
        given: list[str] = run_script(
            "chromium_answers.mjs", site, str(LONGEST_ANSWER), stdin=json.dumps(conversations)
        )
    return given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=DEMO)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--limit", type=int, help="this many items of each task")
    parser.add_argument("--skip", nargs="*", default=[], help="columns to leave out")
    args = parser.parse_args()
    items = read_items(HELD_OUT)
    if args.limit:
        items = first_of_each(items, args.limit)
    tokenizer = AutoTokenizer.from_pretrained(args.pack)
    columns: dict[str, Callable[[], list[str]]] = {
        "pytorch_fp32": lambda: answers(load_model(args.checkpoint), tokenizer, items),
        "pytorch_dequantized": lambda: answers(load_model(None, args.pack), tokenizer, items),
        "native": lambda: with_native(args.pack, tokenizer, items),
        "chromium": lambda: with_chromium(args.pack, tokenizer, items),
    }
    if not args.checkpoint.is_dir():
        print(f"no checkpoint at {args.checkpoint}: without PyTorch fp32")
        columns.pop("pytorch_fp32")
    given = {name: run() for name, run in columns.items() if name not in args.skip}
    by_task = {name: scores(items, texts) for name, texts in given.items()}
    print("| task | items | " + " | ".join(given) + " |")
    print("|---|---:|" + "---:|" * len(given))
    for task in next(iter(by_task.values())):
        cells = [f"{100 * shares[task]:.1f} %" for shares in by_task.values()]
        count = sum(item.task == task for item in items)
        print(f"| {task} | {count} | " + " | ".join(cells) + " |")
    total = {name: overall(items, texts) for name, texts in given.items()}
    cells = [f"{100 * share:.1f} %" for share in total.values()]
    print(f"| **overall** | {len(items)} | " + " | ".join(cells) + " |")
    result: dict[str, Any] = {"items": len(items), "overall": total, "tasks": by_task}
    if {"native", "chromium"} <= given.keys():
        pairs = zip(given["native"], given["chromium"], strict=True)
        # At the token limit half a character is U+FFFD in Python and nothing in the browser.
        same = [a.rstrip("\ufffd").strip() == b.strip() for a, b in pairs]
        result["same_text_native_chromium"] = sum(same)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
