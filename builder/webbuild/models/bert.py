"""BERT and RoBERTa as encoders of texts: what sentence-transformers' models mostly are."""

from __future__ import annotations

from webbuild.errors import InvalidConfigError, UnsupportedConfigError

from .config import MOST_LAYERS, HfConfig, architecture_of
from .encoder import EncoderConfig
from .family import Family


def _read(hf: HfConfig) -> EncoderConfig:
    return _encoder(hf, "bert")


def _read_roberta(hf: HfConfig) -> EncoderConfig:
    # Positions count on from the padding token's id (transformers' create_position_ids_from_…).
    return _encoder(hf, "roberta", first_position=hf.optional("pad_token_id", 1) + 1)


def _encoder(hf: HfConfig, family: str, first_position: int = 0) -> EncoderConfig:
    activation = hf.optional("hidden_act", "gelu")
    if activation != "gelu":
        raise UnsupportedConfigError(
            f"hidden_act is {activation!r}: webbuild implements gelu for this architecture"
        )
    positions = hf.optional("position_embedding_type", "absolute")
    if positions != "absolute" or hf.optional("is_decoder", False):
        raise UnsupportedConfigError(
            "webbuild runs this architecture as an encoder with absolute positions; the config "
            f"asks for position_embedding_type {positions!r}, is_decoder "
            f"{hf.optional('is_decoder', False)}"
        )
    heads, hidden_size = hf.positive("num_attention_heads"), hf.positive("hidden_size")
    context = hf.positive("max_position_embeddings") - first_position
    if hidden_size % heads or context <= 0:
        raise InvalidConfigError(
            f"config.json: hidden_size ({hidden_size}) is no multiple of num_attention_heads "
            f"({heads}), or max_position_embeddings leaves no position ({context})"
        )
    return EncoderConfig(
        architecture=architecture_of(hf.values),
        family=family,
        vocab_size=hf.positive("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=hf.positive("intermediate_size"),
        layers=hf.positive("num_hidden_layers", most=MOST_LAYERS),
        heads=heads,
        context_length=context,
        norm_eps=hf.epsilon("layer_norm_eps", 1e-12),
        token_types=hf.positive("type_vocab_size", 2),
        first_position=first_position,
    )


BERT = Family("bert", {"BertModel": "bert"}, _read)
ROBERTA = Family(
    "roberta", {"RobertaModel": "roberta", "XLMRobertaModel": "xlm-roberta"}, _read_roberta
)
