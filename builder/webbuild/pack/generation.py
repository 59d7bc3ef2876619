"""What a model's generation_config.json asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What changes answers in transformers and has no place here, and the value that changes nothing,
#: where that isn't null. Samplers count where the model samples.
_ALWAYS: dict[str, object] = {
    "num_beams": 1,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "exponential_decay_length_penalty": None,
    "guidance_scale": 1,
    "stop_strings": None,
    "watermarking_config": None,
}
_SAMPLED: dict[str, object] = {
    "top_h": None,
    "typical_p": 1,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
}


def not_followed(config: Mapping[str, Any]) -> list[str]:
    """Names of what `config` sets and webbuild does not do."""
    known = {**_ALWAYS, **(_SAMPLED if config.get("do_sample") else {})}
    return [key for key, off in known.items() if config.get(key) not in (None, off)]
