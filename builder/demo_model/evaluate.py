"""Measures a model folder on the held-out items, plain and rounded to int4.

``python -m demo_model.evaluate demo_model/checkpoint``; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from .items import Item
from .quantise import dequantised

HELD_OUT = Path(__file__).parent / "heldout.jsonl"
BATCH = 64
LONGEST_ANSWER = 80


def item_record(item: Item) -> dict[str, Any]:
    """One line of the held-out file."""
    record: dict[str, Any] = {"task": item.task, "messages": list(item.messages)}
    if item.tools:
        record["tools"] = list(item.tools)
    record["expected"] = item.expected
    if item.accept:
        record["accept"] = list(item.accept)
    return {**record, "key": item.key}


def item_of(record: dict[str, Any]) -> Item:
    return Item(
        record["task"],
        tuple(record["messages"]),
        record["expected"],
        record["key"],
        tools=tuple(record.get("tools", ())),
        accept=tuple(record.get("accept", ())),
    )


def read_items(path: Path) -> list[Item]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [item_of(json.loads(line)) for line in lines]


def answers(model: Any, tokenizer: Any, items: list[Item]) -> list[str]:
    """Greedy answers, in batches of prompts of like length."""
    prompts = [
        tokenizer.apply_chat_template(
            list(item.messages),
            tools=list(item.tools) or None,
            add_generation_prompt=True,
            tokenize=False,
        )
        for item in items
    ]
    order = sorted(range(len(items)), key=lambda i: len(prompts[i]))
    out = [""] * len(items)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer(
            [prompts[i] for i in chosen],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            ids = model.generate(**batch, max_new_tokens=LONGEST_ANSWER, do_sample=False)
        new = ids[:, batch["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        for i, text in zip(chosen, texts, strict=True):
            out[i] = text
    return out


def round_to_int4(model: Any) -> None:
    """What the shipped pack computes with: each matrix as int4 returns it."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(dequantised(weight))


def first_of_each(items: list[Item], count: int) -> list[Item]:
    """The first `count` items of each task, in order."""
    taken: dict[str, int] = defaultdict(int)
    kept = []
    for item in items:
        taken[item.task] += 1
        if taken[item.task] <= count:
            kept.append(item)
    return kept


def scores(items: list[Item], given: list[str]) -> dict[str, float]:
    """Share of right answers for each task."""
    right: dict[str, list[bool]] = defaultdict(list)
    for item, answer in zip(items, given, strict=True):
        right[item.task].append(item.accepts(answer))
    return {task: sum(marks) / len(marks) for task, marks in right.items()}


def overall(items: list[Item], given: list[str]) -> float:
    marks = [item.accepts(answer) for item, answer in zip(items, given, strict=True)]
    return sum(marks) / len(marks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=Path, default=HELD_OUT)
    parser.add_argument("--only", choices=("fp32", "q4"), help="one of the two measurements")
    parser.add_argument("--limit", type=int, help="this many items of each task")
    parser.add_argument("--wrong", type=int, default=0, help="wrong answers to show for each task")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    items = read_items(args.items)
    if args.limit:
        items = first_of_each(items, args.limit)
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    result: dict[str, Any] = {}
    for kind in ("fp32", "q4"):
        if args.only not in (None, kind):
            continue
        start = time.monotonic()
        model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
        if kind == "q4":
            round_to_int4(model)
        given = answers(model, tokenizer, items)
        result[kind] = {task: round(score, 4) for task, score in scores(items, given).items()}
        result[f"overall_{kind}"] = round(overall(items, given), 4)
        print(f"{kind}: {len(items)} items in {time.monotonic() - start:.0f} s")
        shown: dict[str, int] = defaultdict(int)
        for item, answer in zip(items, given, strict=True):
            if not item.accepts(answer) and shown[item.task] < args.wrong:
                shown[item.task] += 1
                question = " / ".join(message["content"] for message in item.messages)
                print(f"  [{item.task}] {question}\n     want {item.expected}\n     got  {answer}")
    kinds = [kind for kind in ("fp32", "q4") if kind in result]
    print("| task | items | " + " | ".join(kinds) + " |")
    print("|---|---:|" + "---:|" * len(kinds))
    for task in result[kinds[0]]:
        count = sum(item.task == task for item in items)
        shares = " | ".join(f"{100 * result[kind][task]:.1f} %" for kind in kinds)
        print(f"| {task} | {count} | {shares} |")
    shares = " | ".join(f"{100 * result[f'overall_{kind}']:.1f} %" for kind in kinds)
    print(f"| **overall** | {len(items)} | {shares} |")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
