"""tokenizer.json as transformers has it, where tokenizer_config.json says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webbuild.errors import UnsupportedTokenizerError

_FLAGS = ("single_word", "lstrip", "rstrip", "special", "normalized")
#: What transformers takes a special token for that is named and nothing more.
_SPECIAL = {**dict.fromkeys(_FLAGS, False), "special": True}
_NAMED = tuple(f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_BERT = ("BertTokenizer", "BertTokenizerFast")


def as_loaded(
    tokenizer: dict[str, Any], config: Mapping[str, Any], legacy: Mapping[str, Any]
) -> dict[str, Any]:
    """`tokenizer` with the added tokens and the normaliser that transformers gives it.

    config: tokenizer_config.json. legacy: added_tokens.json, for where `config` lists none.
    Raises UnsupportedTokenizerError for an added token without an id in `tokenizer`, and whatever
    files that are no tokenizer's make it raise.
    """
    result = {**tokenizer, "added_tokens": _added(tokenizer, config, legacy)}
    normalizer = tokenizer.get("normalizer") or {}
    if config.get("tokenizer_class") in _BERT and normalizer.get("type") == "BertNormalizer":
        result["normalizer"] = {
            **normalizer,
            "lowercase": config.get("do_lower_case", True),
            "strip_accents": config.get("strip_accents"),
            "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        }
    return result


def _added(
    tokenizer: Mapping[str, Any], config: Mapping[str, Any], legacy: Mapping[str, Any]
) -> list[dict[str, Any]]:
    added = {token["content"]: token for token in tokenizer.get("added_tokens") or []}
    vocab = tokenizer["model"]["vocab"]
    ids = vocab if isinstance(vocab, dict) else {entry[0]: i for i, entry in enumerate(vocab)}
    listed = config.get("added_tokens_decoder")
    if listed is None:
        names = set(_names(config))
        listed = {
            index: {"content": text, "special": text in names, "normalized": text not in names}
            for text, index in legacy.items()
            if text not in added
        }
    counted = _FLAGS if tokenizer.get("normalizer") else _FLAGS[:-1]
    for token in listed.values():
        content = token["content"]
        flags = {flag: token[flag] for flag in counted if flag in token}
        if content in added:
            added[content] = {**added[content], **flags}
        elif content in ids:
            added[content] = {"id": ids[content], "content": content, **_SPECIAL, **flags}
        elif content != _content(config.get("pad_token")):  # which no text has
            raise UnsupportedTokenizerError(
                f"tokenizer_config.json or added_tokens.json adds {content!r}, which "
                "tokenizer.json lacks: load the tokenizer with transformers.AutoTokenizer and "
                "save_pretrained() it"
            )
    for content in _names(config):
        if content not in added and content in ids:
            added[content] = {"id": ids[content], "content": content, **_SPECIAL}
    return list(added.values())


def _names(config: Mapping[str, Any]) -> Iterator[str]:
    """Of special tokens."""
    more = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    extra = more.values() if isinstance(more, dict) else more
    for token in (*(config.get(key) for key in _NAMED), *extra):
        if isinstance(content := _content(token), str):
            yield content


def _content(token: Any) -> Any:
    """Tokens are text or a record with "content"."""
    return token.get("content") if isinstance(token, dict) else token
