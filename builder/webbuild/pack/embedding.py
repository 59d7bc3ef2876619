"""How vectors of tokens become a text's, by the files that sentence-transformers writes."""

from __future__ import annotations

from typing import Any

from webbuild.errors import UnsupportedConfigError
from webbuild.models import EncoderConfig
from webbuild.schema.pack import EmbeddingInfo, Pooling
from webbuild.sources import ModelSource

#: By the names of `pooling_mode`, which older releases wrote as a switch for each.
_MODES: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_SWITCHES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
}
#: The steps of a model's modules.json that a pack can do.
_MODULES = ("Transformer", "Pooling", "Normalize")


def embedding_info(source: ModelSource, model: EncoderConfig) -> EmbeddingInfo:
    """Pooling and normalisation: the mean over all tokens, scaled to length 1, unless the source
    says otherwise. Raises UnsupportedConfigError for what is not implemented, InvalidConfigError
    and MissingFileError.
    """
    unknown = [name for name in source.modules if name not in _MODULES]
    if unknown:
        raise UnsupportedConfigError(
            f"modules.json has {', '.join(unknown)}: webbuild does {', '.join(_MODULES)}; choose a "
            "release of the model without it"
        )
    return EmbeddingInfo(
        pooling="mean" if source.pooling is None else _mode(source.pooling),
        normalize="Normalize" in source.modules if source.modules else True,
        first_position=model.first_position,
    )


def _mode(pooling: dict[str, Any]) -> Pooling:
    modes = pooling.get("pooling_mode")
    if modes is None:
        on = [key for key, value in pooling.items() if value is True and "_mode_" in key]
        modes = [_SWITCHES.get(key, key) for key in on]
    wanted = [str(mode) for mode in modes] if isinstance(modes, list) else [str(modes)]
    if len(wanted) != 1 or wanted[0] not in _MODES:
        raise UnsupportedConfigError(
            f"the model's Pooling wants {', '.join(wanted) or 'nothing'}: webbuild does one of "
            f"{', '.join(_MODES)}; choose a release of the model with that"
        )
    return _MODES[wanted[0]]
