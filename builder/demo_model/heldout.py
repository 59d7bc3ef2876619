"""Writes the held-out items: ``python -m demo_model.heldout``."""

from __future__ import annotations

import json

from .data import held_out_items
from .evaluate import HELD_OUT, item_record

PER_TASK = 50
SEED = 2


def lines() -> list[str]:
    """One JSON object for each item, the same at every run."""
    items = held_out_items(PER_TASK, SEED)
    return [json.dumps(item_record(item), ensure_ascii=False) for item in items]


def main() -> None:
    HELD_OUT.write_text("\n".join(lines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
