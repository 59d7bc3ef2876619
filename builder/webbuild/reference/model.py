"""The transformers model that a pack must agree with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from webbuild.models import parameters, read_config
from webbuild.quantize import get_quantization
from webbuild.weights.cache import WeightsReader

F32 = npt.NDArray[np.float32]
#: Token ids [T] → logits f32 [T, vocab] at every position.
Reference = Callable[[list[int]], F32]


def reference_model(source: Path, pack: Path | None = None, quantization: str = "") -> Reference:
    """The Hugging Face folder `source` in float32 with eager attention.

    With `pack` and its `quantization`, the weights are those that the pack holds, dequantised.
    """
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, attn_implementation="eager"
    )
    model.eval()
    if pack is not None:
        _take_weights(model, pack, quantization)

    def logits(tokens: list[int]) -> F32:
        with torch.inference_mode():
            result: F32 = model(torch.tensor([tokens])).logits[0].numpy()
        return result

    return logits


def _take_weights(model: torch.nn.Module, pack: Path, quantization: str) -> None:
    """Overwrites every weight of `model` with the pack's."""
    reader = WeightsReader(pack)
    config = read_config(model.config.to_dict())  # type: ignore[operator, union-attr]
    state = dict(model.named_parameters())
    for parameter in parameters(config):
        if parameter.kind == "constant":
            continue
        values = torch.from_numpy(reader.dequantize(parameter, get_quantization(quantization)))
        start = 0
        for name in parameter.sources:
            target = state.pop(name)
            rows = target.shape[0]
            with torch.no_grad():
                target.copy_(values[start : start + rows])
            start += rows
    if state:
        raise AssertionError(f"the pack has no values for {sorted(state)}")
