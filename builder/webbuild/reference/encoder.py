"""How far an encoder's vectors are from those of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import torch

from webbuild.native.encoder import NativeEncoder
from webbuild.schema.pack import Pooling

from .model import F32, load_model

#: Largest max|Δ| / max|reference| by tier. Activations are f32 in both.
ENCODER_BOUNDS = {"f32": 1e-5, "f16": 1e-5}

_LENGTHS = (1, 2, 16, 17, 33, 90, 5, 1, 64)


class EncoderReference:
    """A transformers model as a function of a text's tokens: f32 [tokens, hidden size].

    source: a Hugging Face folder; None: the config is the pack's. pack: take its weights, as they
    are stored, dequantised.
    """

    def __init__(self, source: Path | None, pack: Path | None = None) -> None:
        self._model = load_model(source, pack)

    def __call__(self, tokens: list[int]) -> F32:
        ids = torch.tensor([tokens])
        with torch.inference_mode():
            hidden: F32 = self._model(ids, torch.ones_like(ids)).last_hidden_state[0].numpy()
        return hidden


def pooled(hidden: F32, pooling: Pooling) -> F32:
    """A text's vector from those of its tokens."""
    parts: dict[Pooling, F32] = {"mean": hidden, "cls": hidden[:1], "last": hidden[-1:]}
    mean: F32 = parts[pooling].astype(np.float64).mean(axis=0).astype(np.float32)
    return mean


def measure_encoder(model: NativeEncoder, reference: EncoderReference, seed: int = 0) -> float:
    """The largest of max|Δ| / max|reference| over texts of several lengths, side by side in steps
    and the longest alone, in all poolings, not scaled."""
    rng = np.random.default_rng(seed)
    longest = model.pack.manifest.limits.context_length
    lengths = [min(length, longest) for length in (*_LENGTHS, longest)]
    # Padding tokens get other positions in transformers' RoBERTa; texts have none.
    pad = model.pack.manifest.tokens.pad
    usual = [token for token in range(model.vocab_size) if token != pad]
    texts = [[int(token) for token in rng.choice(usual, length)] for length in lengths]
    hidden = [reference(tokens) for tokens in texts]
    errors = []
    for pooling in get_args(Pooling):
        expected = np.stack([pooled(one, pooling) for one in hidden])
        for rows in (slice(None), slice(4, 5), slice(9, 10)):
            actual = model.embed(texts[rows], pooling, normalize=False)
            if not np.isfinite(actual).all():
                return float("inf")
            errors.append(np.abs(actual - expected[rows]).max() / np.abs(expected[rows]).max())
    return float(max(errors))
