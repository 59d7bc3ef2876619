"""How vectors of tokens become a text's, by the files that sentence-transformers writes."""

from __future__ import annotations

from webbuild.errors import UnsupportedConfigError
from webbuild.models import EncoderConfig
from webbuild.schema.pack import EmbeddingInfo, Pooling
from webbuild.sources import ModelSource

_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
#: The steps of a model's modules.json that a pack can do.
_MODULES = ("Transformer", "Pooling", "Normalize")


def embedding_info(source: ModelSource, model: EncoderConfig) -> EmbeddingInfo:
    """Pooling and normalisation: the mean over all tokens, scaled to length 1, unless the source
    says otherwise. Raises UnsupportedConfigError for what is not implemented, InvalidConfigError.
    """
    unknown = [name for name in source.modules if name not in _MODULES]
    if unknown:
        raise UnsupportedConfigError(
            f"modules.json has {', '.join(unknown)}: webbuild does {', '.join(_MODULES)}; choose a "
            "release of the model without it"
        )
    wanted = [key for key, value in source.pooling.items() if value is True and "_mode_" in key]
    modes = [_MODES[key] for key in wanted if key in _MODES]
    if len(modes) != len(wanted) or len(modes) > 1:
        raise UnsupportedConfigError(
            f"1_Pooling/config.json wants {', '.join(wanted)}: webbuild does one of "
            f"{', '.join(_MODES)}; choose a release of the model with that"
        )
    return EmbeddingInfo(
        pooling=modes[0] if modes else "mean",
        normalize="Normalize" in source.modules if source.modules else True,
        first_position=model.first_position,
    )
