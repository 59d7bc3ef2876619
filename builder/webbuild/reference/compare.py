"""How far a pack's logits are from a reference's."""

from __future__ import annotations

import numpy as np

from webbuild.native import NativeModel

from .model import F32, Kept, Reference

DECODES = 3  # decode steps after each prefill


def measure(
    model: NativeModel, reference: Reference, seed: int = 0, given_kept: bool = False
) -> float:
    """The largest of max|Δ| / max|reference| over several steps.

    given_kept: the reference attends to the keys and values that the model kept, in int8.

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
        errors += _follow(model, reference, texts, chunks, given_kept)
    return max(errors)


def _follow(
    model: NativeModel,
    reference: Reference,
    texts: list[list[int]],
    chunks: list[tuple[int, ...]],
    given_kept: bool,
) -> list[float]:
    """Runs texts side by side: ragged prefill steps as `chunks` say, then decode steps."""
    sequences = [model.sequence() for _ in texts]
    actual: list[tuple[F32, list[int]]] = []
    kept: list[Kept | None] = [None] * len(texts)
    try:
        for step in range(len(chunks[0])):
            model.step(
                [
                    (sequence, tokens[sequence.length : sequence.length + pieces[step]])
                    for sequence, tokens, pieces in zip(sequences, texts, chunks, strict=True)
                ]
            )
            actual.append((model.logits(), [sequence.length for sequence in sequences]))
        for _ in range(DECODES):
            tokens = [text[s.length] for text, s in zip(texts, sequences, strict=True)]
            model.decode(sequences, tokens)
            actual.append((model.logits(), [sequence.length for sequence in sequences]))
        if given_kept:
            kept = [model.kept(sequence) for sequence in sequences]
    finally:
        for sequence in sequences:
            model.release(sequence)
    expected = [reference(tokens, one) for tokens, one in zip(texts, kept, strict=True)]
    return [_error(logits, lengths, expected) for logits, lengths in actual]


def _error(actual: F32, lengths: list[int], expected: list[F32]) -> float:
    wanted = np.stack([e[length - 1] for e, length in zip(expected, lengths, strict=True)])
    if not np.isfinite(actual).all():
        return float("inf")
    return float(np.abs(actual - wanted).max() / np.abs(wanted).max())
