"""The transformers model that a pack must agree with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging

from webbuild.errors import LogitsDifferError
from webbuild.models import EncoderConfig, parameters, read_config
from webbuild.quantize import get_quantization
from webbuild.schema.pack import PackManifest
from webbuild.schema.read import read_manifest
from webbuild.weights.cache import WeightsReader

F32 = npt.NDArray[np.float32]
Kept = list[tuple[F32, F32]]
"""Keys (rotated) and values of each layer: f32 [tokens, KV heads, head dim]."""
_HALF_STEP = 0.5 + 1e-2
"""How far a number in int8 is from what it was rounded from, and float rounding."""


class Reference(Protocol):
    """Token ids [T] → logits f32 [T, vocab] at every position."""

    def __call__(self, tokens: list[int], kept: Kept | None = None) -> F32:
        """kept: keys and values in int8, as numbers, with which to attend instead of its own.

        Raises LogitsDifferError if they are not its own, rounded to the nearest of 255 steps."""


def load_model(source: Path | None, pack: Path | None = None) -> Any:
    """A transformers model in float32 with eager attention, in evaluation mode.

    source: a Hugging Face folder; None: the config is the pack's. pack: take its weights, as they
    are stored, dequantised.
    """
    logging.disable_progress_bar()
    kind: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
    if source is not None:
        values = json.loads((source / "config.json").read_text("utf-8"))
        model = _loader(values).from_pretrained(source, **kind)
    elif pack is not None:
        values = _manifest(pack).model.config
        model = _loader(values).from_config(AutoConfig.for_model(**values), **kind)
    else:
        raise ValueError("a source or a pack")
    if pack is not None:
        _take_weights(model, pack)
    return model.eval()


def reference_model(source: Path | None, pack: Path | None = None) -> Reference:
    """`load_model` as a function of tokens."""
    model = load_model(source, pack)

    def logits(tokens: list[int], kept: Kept | None = None) -> F32:
        if kept is not None:
            ALL_ATTENTION_FUNCTIONS.register("kept", _attention_to(kept))
        model.set_attn_implementation("eager" if kept is None else "kept")
        with torch.inference_mode():
            result: F32 = model(torch.tensor([tokens])).logits[0].numpy()
        return result

    return logits


def _attention_to(kept: Kept) -> Any:
    """Causal attention of one sequence to given keys and values, for transformers."""

    def attend(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: object,
        scaling: float,
        **_: object,
    ) -> tuple[torch.Tensor, None]:
        used = []
        for own, given in zip((key, value), kept[module.layer_idx], strict=True):
            rows = torch.from_numpy(given).transpose(0, 1)
            step = own[0].abs().amax(-1, keepdim=True) / 127
            steps = ((rows - own[0]).abs() / step.clamp(min=1e-30)).max().item()
            if not steps <= _HALF_STEP:
                raise LogitsDifferError(
                    f"layer {module.layer_idx} keeps numbers in int8 {steps:.2f} steps from what "
                    "they should be: a bug in webbuild or in the GPU driver; please report it"
                )
            used.append(rows.repeat_interleave(query.shape[1] // rows.shape[0], dim=0))
        scores = query[0] @ used[0].transpose(1, 2) * scaling
        future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        return (weights @ used[1]).transpose(0, 1)[None], None

    return attend


def _loader(config: dict[str, Any]) -> Any:
    return AutoModel if isinstance(read_config(config), EncoderConfig) else AutoModelForCausalLM


def _manifest(pack: Path) -> PackManifest:
    return read_manifest((pack / "pack.json").read_bytes())


def _take_weights(model: Any, pack: Path) -> None:
    """Overwrites every weight of `model` with the pack's."""
    manifest = _manifest(pack)
    quantization = get_quantization(manifest.quantization)
    reader = WeightsReader(pack)
    state = dict(model.named_parameters())
    for parameter in parameters(read_config(manifest.model.config)):
        if parameter.kind == "constant":
            continue
        values = torch.from_numpy(reader.dequantize(parameter, quantization))
        start = 0
        for name in parameter.sources:
            target = state.pop(name)
            with torch.no_grad():
                target.copy_(values[start : start + len(target)])
            start += len(target)
    # What a causal model does not have, and an encoder's vectors do not pass through.
    state = {name: value for name, value in state.items() if not name.startswith("pooler.")}
    if state:
        raise AssertionError(f"the pack has no values for {sorted(state)}")
