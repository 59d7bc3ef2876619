"""The symbols of a program and how large each can get."""

from __future__ import annotations

from dataclasses import dataclass

from webbuild.models import PAGE_SIZE
from webbuild.schema.capacity import TILE_ROWS, step_bounds
from webbuild.schema.program import Symbol


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
        return step_bounds(self.prefill_chunk, self.max_batch) | {
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
