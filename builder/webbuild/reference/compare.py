"""How far a pack's logits are from a reference's."""

from __future__ import annotations

import numpy as np

from webbuild.native import NativeModel
from webbuild.native.sequence import Sequence

from .model import F32, Reference

DECODES = 3  # decode steps after each prefill


def measure(model: NativeModel, reference: Reference, seed: int = 0) -> float:
    """The largest of max|Δ| / max|reference| over several steps.

    Prompts of 1, 16, 17 and 50 tokens, the last one in two chunks, then decode steps with given
    tokens; then a ragged batch of three with different lengths and pasts, and its decode steps.
    """
    rng = np.random.default_rng(seed)

    def text(length: int) -> list[int]:
        return [int(token) for token in rng.integers(0, model.vocab_size, length)]

    ragged: list[tuple[int, ...]] = [(4, 1), (19, 21), (1, 17)]
    alone: list[tuple[int, ...]] = [(1,), (16,), (17,), (33, 17)]
    batch = ragged[: model.max_batch]
    errors = []
    for chunks in (*([pieces] for pieces in alone), batch):
        texts = [text(sum(pieces) + DECODES) for pieces in chunks]
        errors += _follow(model, reference, texts, chunks)
    return max(errors)


def _follow(
    model: NativeModel, reference: Reference, texts: list[list[int]], chunks: list[tuple[int, ...]]
) -> list[float]:
    """Runs texts side by side: ragged prefill steps as `chunks` say, then decode steps."""
    expected = [reference(tokens) for tokens in texts]
    sequences = [model.sequence() for _ in texts]
    errors = []
    try:
        for step in range(len(chunks[0])):
            model.step(
                [
                    (sequence, tokens[sequence.length : sequence.length + pieces[step]])
                    for sequence, tokens, pieces in zip(sequences, texts, chunks, strict=True)
                ]
            )
            errors.append(_error(model.logits(), sequences, expected))
        for _ in range(DECODES):
            tokens = [text[s.length] for text, s in zip(texts, sequences, strict=True)]
            model.decode(sequences, tokens)
            errors.append(_error(model.logits(), sequences, expected))
    finally:
        for sequence in sequences:
            model.release(sequence)
    return errors


def _error(actual: F32, sequences: list[Sequence], expected: list[F32]) -> float:
    wanted = np.stack([e[s.length - 1] for e, s in zip(expected, sequences, strict=True)])
    if not np.isfinite(actual).all():
        return float("inf")
    return float(np.abs(actual - wanted).max() / np.abs(wanted).max())
