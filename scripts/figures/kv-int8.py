"""make figure-kv-int8: keys and values in int8 beside floats, of the demo model.

Bytes of a token's keys and values; held-out accuracy of greedy answers (a few items of each task);
how far logits at the end of held-out prompts are from float32 keys and values; and one layer's
decode attention at a long context: processor time on a software adapter (wall time elsewhere), f16
and int8 in turns, the least counts. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from demo_model.evaluate import HELD_OUT, first_of_each, overall, read_items
from demo_model.items import Item
from scripts.figures.pages import DEMO
from webbuild.native import NativeModel
from webbuild.native.pack import Pack
from webbuild.native.works import SOFTWARE_PIECE_TOKENS, cores_here, plan_works
from webbuild.pack import PackOptions, Reporter, pack_model
from webbuild.quantize import get_quantization
from webbuild.schema.program import KvStore
from webbuild.sources import open_source
from webbuild.traffic import decode_traffic
from webgpu_kernels import lower, oracle
from webgpu_kernels.tests.device import Device

demo = importlib.import_module("scripts.figures.demo-accuracy")
KINDS: dict[str, tuple[str, KvStore]] = {
    "f32": ("f32", "float"),
    "f16": ("f16", "float"),
    "int8": ("f32", "int8"),
}
SHAPE = {"H": 9, "KV": 3, "D": 64}
PAGE, PARTS = 16, 64


def packs(folder: Path) -> dict[KvStore, Pack]:
    """The demo model with float and with int8 keys and values."""
    made: dict[KvStore, Pack] = {"float": Pack.open(DEMO)}
    source, quant = open_source(str(demo.CHECKPOINT)), get_quantization("q4f16_1")
    pack_model(source, quant, folder / "int8", Reporter(quiet=True), PackOptions(kv="int8"))
    made["int8"] = Pack.open(folder / "int8")
    return made


def last_logits(model: NativeModel, prompts: list[list[int]]) -> list[Any]:
    given = []
    for prompt in prompts:
        sequence = model.sequence()
        model.prefill(sequence, prompt[:-1])
        model.decode([sequence], prompt[-1:])
        given.append(model.logits()[0])
        model.release(sequence)
    return given


def quality(made: dict[KvStore, Pack], items: list[Item]) -> dict[str, Any]:
    """Accuracy and logits of each kind that the adapter can run."""
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    texts = [demo.prompt(tokenizer, list(one.messages), list(one.tools) or None) for one in items]
    prompts = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    rows: dict[str, Any] = {}
    logits, answers = {}, {}
    for kind, (tier, kv) in KINDS.items():
        model = NativeModel.open(made[kv], tier)
        traffic = [
            decode_traffic(made[kv].program, made[kv].kernels.kernels, tier, n).kv for n in (1, 2)
        ]
        logits[kind] = last_logits(model, prompts)
        answers[kind] = [
            tokenizer.decode(model.generate(ids, demo.LONGEST_ANSWER), skip_special_tokens=True)
            for ids in prompts
        ]
        errors = [
            float(np.abs(one - float32).max() / np.abs(float32).max())
            for one, float32 in zip(logits[kind], logits["f32"], strict=True)
        ]
        same = [a == b for a, b in zip(answers[kind], answers["f32"], strict=True)]
        rows[kind] = {
            "bytes_per_token": traffic[1] - traffic[0],
            "accuracy": round(overall(items, answers[kind]), 4),
            "answers_of_f32": sum(same),
            "logits_max_error": max(errors),
            "logits_median_error": float(np.median(errors)),
        }
        print(f"{kind}: {json.dumps(rows[kind])}", flush=True)
    return rows


def attention_timer(device: Device, kind: str, context: int) -> Callable[[], float]:
    """Milliseconds of a layer's decode attention for one sequence."""
    rng = np.random.default_rng(0)
    pages = -(-context // PAGE)
    shape = (pages, SHAPE["KV"], PAGE, SHAPE["D"])
    keys, values = (rng.standard_normal(shape).astype(np.float16) for _ in "kv")
    kv_k, kv_v = oracle.keep_int8(keys, values) if kind == "int8" else (keys, values)
    table = np.arange(pages, dtype=np.int32)[None]
    rule = (PARTS, SOFTWARE_PIECE_TOKENS, cores_here())
    plan = plan_works([context], table.tolist(), PAGE, *rule)
    heads = SHAPE["H"] + 2 * SHAPE["KV"]
    arrays = {
        "qkv": rng.standard_normal((1, heads * SHAPE["D"])).astype(np.float32),
        "inv_freq": (1e-4 ** (np.arange(0, 64, 2) / 64)).astype(np.float32),
        "positions": np.array([context - 1], np.int32),
        "kv_k": kv_k,
        "kv_v": kv_v,
        "page_table": table,
        "work": plan.work,
        "work_rows": plan.work_rows,
        "y": np.zeros((1, SHAPE["H"] * SHAPE["D"]), np.float32),
        "scratch0": np.zeros(PARTS * SHAPE["H"] * (SHAPE["D"] + 4), np.float32),
    }
    symbols = {"tokens": 1, "seqs": 1, "max_pages": pages, "works": plan.works}
    symbols |= {"parts": plan.parts, "shared_works": plan.shared}
    attrs = {**SHAPE, "scale": 0.125, "mode": "split", "kv": "int8" if kind == "int8" else "float"}
    timers = []
    for launch in lower("decode_attention", attrs, "f16"):
        fits = [one for one in launch.alternatives if device.has(one.features)]
        if not launch.name.startswith("attention_shared"):
            timers.append(device.timer(fits[0] if fits else launch, arrays, symbols))
    return lambda: 1e3 * sum(timer(4) for timer in timers)


def attention_time(context: int, rounds: int) -> dict[str, float]:
    device = Device()
    timers = {kind: attention_timer(device, kind, context) for kind in ("f16", "int8")}
    best: dict[str, float] = {}
    for number in range(rounds + 1):
        for kind, timer in timers.items():
            took = timer()
            best[kind] = min(best.get(kind, took), took) if number > 1 else took
    return {kind: round(ms, 3) for kind, ms in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=4, help="items of each task")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    items = first_of_each(read_items(HELD_OUT), args.limit)
    with tempfile.TemporaryDirectory() as folder:
        rows = quality(packs(Path(folder)), items)
    took = attention_time(args.context, args.rounds)
    figures = {
        "items": len(items),
        "kinds": rows,
        "context": args.context,
        "attention_ms_per_layer": took,
        "int8_over_f16": round(took["int8"] / took["f16"], 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
