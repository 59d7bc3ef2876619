"""The transformers model that a pack must agree with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from webbuild.models import parameters, read_config
from webbuild.quantize import get_quantization
from webbuild.schema.pack import PackManifest
from webbuild.schema.read import read_manifest
from webbuild.weights.cache import WeightsReader

F32 = npt.NDArray[np.float32]
#: Token ids [T] → logits f32 [T, vocab] at every position.
Reference = Callable[[list[int]], F32]


def load_model(source: Path | None, pack: Path | None = None) -> Any:
    """A transformers model in float32 with eager attention, in evaluation mode.

    source: a Hugging Face folder; None: the config is the pack's. pack: take its weights, as they
    are stored, dequantised.
    """
    logging.disable_progress_bar()
    if source is not None:
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager"
        )
    elif pack is not None:
        config = AutoConfig.for_model(**_manifest(pack).model.config)
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="eager"
        )
    else:
        raise ValueError("a source or a pack")
    if pack is not None:
        _take_weights(model, pack)
    return model.eval()


def reference_model(source: Path | None, pack: Path | None = None) -> Reference:
    """`load_model` as a function of tokens."""
    model = load_model(source, pack)

    def logits(tokens: list[int]) -> F32:
        with torch.inference_mode():
            result: F32 = model(torch.tensor([tokens])).logits[0].numpy()
        return result

    return logits


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
    if state:
        raise AssertionError(f"the pack has no values for {sorted(state)}")
