"""The symbols of a program and how large each can get."""

from __future__ import annotations

from dataclasses import dataclass

from webbuild.models import PAGE_SIZE
from webbuild.schema.program import Symbol

TILE_ROWS = 16
"""Most rows of one prefill attention tile."""
ROW_PARTS, LEAST_PARTS = 16, 32
"""Pieces of contexts in a split decode: at most so many for each sequence, but for one sequence
more."""
ROW_OUTS, LEAST_OUTS = 2, 16
"""Rows whose logits a step can want: so many for each sequence, but for one sequence more."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a program is compiled for: tokens per prefill step, sequences per step, context."""

    prefill_chunk: int
    max_batch: int
    context_length: int

    @property
    def maxima(self) -> dict[str, int]:
        """Every symbol at its largest; those that the runtime chooses, for one full sequence."""
        pages = -(-self.context_length // PAGE_SIZE)
        return {
            "tokens": self.prefill_chunk,
            "seqs": self.max_batch,
            "outs": max(LEAST_OUTS, ROW_OUTS * self.max_batch),
            "q_tiles": -(-self.prefill_chunk // TILE_ROWS) + self.max_batch,
            "works": max(LEAST_PARTS, ROW_PARTS * self.max_batch),
            "shared_works": max(LEAST_PARTS, ROW_PARTS * self.max_batch) // 2,
            "parts": max(LEAST_PARTS, ROW_PARTS * self.max_batch),
            "pages": pages * self.max_batch,
            "max_pages": pages,
            "slots": self.max_batch,
        }

    def symbols(self) -> tuple[Symbol, ...]:
        maxima = self.maxima
        step = {
            "tokens": "new tokens of the step, over all sequences",
            "seqs": "sequences of the step",
            "outs": "rows of the step whose logits are wanted, and sampled",
            "q_tiles": f"prefill attention tiles: at most {TILE_ROWS} rows of one sequence each",
            "works": "workgroups' shares of the contexts in a split decode",
            "shared_works": "and of what several contexts begin with",
            "parts": "what pieces of contexts add to rows' attention",
        }
        load = {
            "pages": "pages of the KV pool",
            "max_pages": "width of a page-table row: most pages of a sequence",
            "slots": "sampler slots: most sequences at once",
        }
        return (
            *(
                Symbol(name=name, description=text, scope="step", max=maxima[name])
                for name, text in step.items()
            ),
            *(Symbol(name=name, description=text, scope="load") for name, text in load.items()),
        )
