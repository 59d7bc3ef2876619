"""make figure-cascade: attention of choices of one prompt, with and without reading it once.

One layer of SmolLM2-135M's shape, 8 sequences of 1,500 common tokens and 20 of their own: bytes of
keys and values that a step reads by plan, and processor time of its launches on a software adapter
(wall time elsewhere); both take turns, the least counts. Then the largest work over the mean, per
launch, of the plans of 1,000 random batches with nested prefixes. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from webbuild.native.works import SOFTWARE_PIECE_TOKENS, cores_here, plan_works
from webgpu_kernels import lower
from webgpu_kernels.tests.device import Device

SHAPE = {"H": 9, "KV": 3, "D": 64}
ROWS, PREFIX, OWN, PAGE, PARTS = 8, 1500, 20, 16, 512
TOKEN_BYTES = 2 * SHAPE["KV"] * SHAPE["D"] * 2


def batch(rng: np.random.Generator) -> tuple[list[int], list[list[int]]]:
    """Rows that often begin as one before them."""
    lengths = [int(x) for x in np.exp(rng.uniform(0, np.log(5000), rng.integers(1, 17)))]
    lists: list[list[int]] = []
    for row, length in enumerate(lengths):
        count = -(-length // PAGE)
        other = lists[int(rng.integers(row))] if row and rng.random() < 0.8 else []
        kept = other[: min(int(rng.integers(len(other) + 1)), count)]
        lists.append(kept + [1000 * row + at for at in range(len(kept), count)])
    return lengths, lists


def worst_ratio(batches: int) -> float:
    rng, worst = np.random.default_rng(1), 1.0
    for _ in range(batches):
        plan = plan_works(*batch(rng), PAGE, PARTS)
        for first, count in ((0, plan.works), (plan.works, plan.shared)):
            headers = plan.work[first : first + count, :2]
            items = [plan.work[begin:end] for begin, end in headers]
            sizes = [int((one[:, 2] - one[:, 1]).sum()) for one in items]
            worst = max([worst, *(size * count / sum(sizes) for size in sizes)])
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    device = Device()
    length = PREFIX + OWN
    count = -(-length // PAGE)
    whole = PREFIX // PAGE
    rng = np.random.default_rng(0)
    pool = (ROWS * count, SHAPE["KV"], PAGE, SHAPE["D"])
    common: dict[str, npt.NDArray[np.generic]] = {
        "qkv": rng.standard_normal((ROWS, 15 * 64)).astype(np.float32),
        "inv_freq": (1e-4 ** (np.arange(0, 64, 2) / 64)).astype(np.float32),
        "positions": np.full(ROWS, length - 1, np.int32),
        "kv_k": rng.standard_normal(pool).astype(np.float16),
        "kv_v": rng.standard_normal(pool).astype(np.float16),
        "y": np.zeros((ROWS, 9 * 64), np.float32),
        "scratch0": np.zeros(PARTS * 9 * 68, np.float32),
    }
    attrs = {**SHAPE, "scale": 0.125, "mode": "split"}
    own = np.arange(ROWS * count, dtype=np.int32).reshape(ROWS, count)
    shared = own.copy()
    shared[:, :whole] = own[0, :whole]
    timers: dict[str, list[Callable[[int], float]]] = {}
    read: dict[str, int] = {}
    for name, table in (("alone", own), ("shared", shared)):
        plan = plan_works(
            [length] * ROWS, table.tolist(), PAGE, PARTS, SOFTWARE_PIECE_TOKENS, cores_here()
        )
        arrays = common | {"page_table": table, "work": plan.work, "work_rows": plan.work_rows}
        symbols = {"seqs": ROWS, "max_pages": count, "works": plan.works, "parts": plan.parts}
        symbols |= {"tokens": ROWS, "shared_works": plan.shared}
        read[name] = (ROWS * length - plan.saved) * TOKEN_BYTES
        timers[name] = []
        for launch in lower("decode_attention", attrs, "f16"):
            fits = [one for one in launch.alternatives if device.has(one.features)]
            launch = fits[0] if fits else launch
            if plan.shared or not launch.name.startswith("attention_shared"):
                timers[name].append(device.timer(launch, arrays, symbols))
    best: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, launches in timers.items():
            took = 1e3 * sum(timer(1) for timer in launches)
            best[name] = min(best.get(name, took), took) if number else 1e9
    figures = {
        "kv_bytes_per_layer": read,
        "bytes_ratio": round(read["alone"] / read["shared"], 2),
        "ms_per_layer": {name: round(ms, 2) for name, ms in best.items()},
        "time_ratio": round(best["alone"] / best["shared"], 2),
        "largest_work_over_mean": round(worst_ratio(1000), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
