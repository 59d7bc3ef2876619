"""What a load chooses: context, sequences at once, KV pool; and what memory follows from it.

The rule of `chooseSymbols` in runtime_js/src/gpu/sizes.ts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webbuild.errors import InvalidRequestError

from .pack import Limits, TierMemory
from .program import Program

DEFAULT_BATCH = 8
"""Sequences at once, if a pack can do so many and a load asks for no other number."""

TILE_ROWS = 16
"""Most rows of one prefill attention tile."""
ROW_OUTS, LEAST_OUTS = 2, 16
"""Rows whose logits a step can want: so many for each sequence, but for one sequence more."""
ROW_PARTS, LEAST_PARTS = 16, 32
"""Pieces of contexts in a split decode: likewise."""


def step_bounds(prefill_chunk: int, max_batch: int) -> dict[str, int]:
    """The step symbols at their largest."""
    parts = max(LEAST_PARTS, ROW_PARTS * max_batch)
    return {
        "tokens": prefill_chunk,
        "seqs": max_batch,
        "outs": max(LEAST_OUTS, ROW_OUTS * max_batch),
        "q_tiles": -(-prefill_chunk // TILE_ROWS) + max_batch,
        "works": parts,
        "shared_works": parts // 2,
        "parts": parts,
    }


@dataclass(frozen=True, slots=True)
class Capacity:
    """Most tokens of a sequence, most sequences at once, positions in the KV pool."""

    context_length: int
    max_batch: int
    kv_tokens: int

    @classmethod
    def choose(
        cls,
        limits: Limits,
        context_length: int | None = None,
        max_batch: int | None = None,
        kv_tokens: int | None = None,
    ) -> Capacity:
        """By default the pack's context, at most 8 sequences, and a pool of two contexts: one to
        compute, and what is worth to be kept. Raises InvalidRequestError."""
        context = limits.default_context_length if context_length is None else context_length
        if not 0 < context <= limits.context_length:
            raise InvalidRequestError(
                f"context_length is {context}; the model takes 1 to {limits.context_length}"
            )
        batch = min(DEFAULT_BATCH, limits.max_batch) if max_batch is None else max_batch
        if not 0 < batch <= limits.max_batch:
            raise InvalidRequestError(
                f"max_batch is {batch}; the pack takes 1 to {limits.max_batch}"
            )
        tokens = 2 * context if kv_tokens is None else kv_tokens
        if tokens < context:
            raise InvalidRequestError(
                f"kv_tokens is {tokens}, less than one context of {context}: give it as many"
            )
        return cls(context, batch, tokens)

    def symbols(self, program: Program) -> dict[str, int]:
        """Every symbol of the program at its largest."""
        declared = {symbol.name: symbol.max for symbol in program.symbols}
        chosen = step_bounds(declared["tokens"] or 0, self.max_batch) | {
            "pages": -(-self.kv_tokens // program.page_size),
            "max_pages": -(-self.context_length // program.page_size),
            "slots": self.max_batch,
        }
        return {
            name: chosen[name] if most is None else min(chosen[name], most)
            for name, most in declared.items()
        }


def predicted_bytes(memory: TierMemory, symbols: Mapping[str, int]) -> int:
    """GPU bytes of a tier whose symbols have these maxima."""
    return (
        memory.weights
        + memory.fixed
        + memory.slot_bytes * symbols["slots"]
        + memory.out_bytes * symbols["outs"]
        + memory.work_bytes * symbols.get("works", 0)
        + memory.page_bytes * symbols["pages"]
        # The page table, where there are pages.
        + 4 * symbols["slots"] * symbols["max_pages"] * (memory.page_bytes > 0)
    )
