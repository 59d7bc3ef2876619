"""Which special tokens a model has, as ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from webbuild.errors import InvalidConfigError, UnsupportedTokenizerError
from webbuild.schema.pack import Tokens
from webbuild.sources import ModelSource


def special_tokens(source: ModelSource) -> Tokens:
    """BOS, EOS and padding of a model.

    Every id that config.json, generation_config.json or the tokenizer calls end-of-sequence ends a
    generation: chat models often end turns with another token than documents, and which file says
    so differs from model to model. Raises InvalidConfigError for an id that is none.
    """
    files = (source.generation_config, source.config)
    eos: list[int] = []
    for token in (*(file.get("eos_token_id") for file in files), _by_name(source, "eos_token")):
        eos.extend(i for i in _ids(token, "eos_token_id") if i not in eos)
    return Tokens(bos=_single(source, "bos"), eos=tuple(eos), pad=_single(source, "pad"))


def check_vocabulary(source: ModelSource, vocab_size: int) -> None:
    """Raises InvalidConfigError if the tokenizer has ids for which the model has no embedding."""
    largest = max(_vocabulary(source).values(), default=-1)
    if largest >= vocab_size:
        raise InvalidConfigError(
            f"tokenizer.json has token id {largest}, but the model's vocabulary ends at "
            f"{vocab_size - 1}: the tokenizer is not this model's"
        )


def check_parts(source: ModelSource) -> None:
    """Raises UnsupportedTokenizerError for a tokenizer.json that the runtime can't read."""
    for part, known in _parts().items():
        if part not in source.tokenizer:
            raise UnsupportedTokenizerError(
                f"tokenizer.json lacks {part!r}, which may be null: load the tokenizer with "
                "transformers and save_pretrained() it again"
            )
        for kind in _types(source.tokenizer.get(part)):
            if kind not in known:
                raise UnsupportedTokenizerError(
                    f"tokenizer.json has the {part} {kind!r}, which the runtime does not know "
                    f"({', '.join(known)}): choose a model with another tokenizer"
                )


@cache
def _parts() -> dict[str, list[str]]:
    """Types that each part of a tokenizer.json may have. The runtime's tests compare."""
    text = resources.files("webbuild").joinpath("tokenizer_parts.json").read_text("utf-8")
    parts: dict[str, list[str]] = json.loads(text)
    return parts


def _types(part: Any) -> Iterator[str]:
    """Of a part, or of those it is a sequence of."""
    if not isinstance(part, dict) or part.get("type") is None:
        return  # absent; a model without a type is one of those that have one
    if part["type"] != "Sequence":
        yield str(part["type"])
    for key in ("normalizers", "pretokenizers", "processors", "decoders"):
        for inner in part.get(key) or []:
            yield from _types(inner)


def _single(source: ModelSource, which: str) -> int | None:
    for file in (source.config, source.generation_config):
        found = _ids(file.get(f"{which}_token_id"), f"{which}_token_id")
        if found:
            return found[0]
    return _by_name(source, f"{which}_token")


def _ids(value: Any, key: str) -> list[int]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(i) is int and i >= -1 for i in values):
        raise InvalidConfigError(f"{key} must be a token id or a list of them, but is {value!r}")
    return [i for i in values if i >= 0]  # some configs write "none" as -1


def _by_name(source: ModelSource, key: str) -> int | None:
    """The id of a token that tokenizer_config.json gives as text or as a record with "content"."""
    token = source.tokenizer_config.get(key)
    if isinstance(token, dict):
        token = token.get("content")
    return _vocabulary(source).get(token) if isinstance(token, str) else None


def _vocabulary(source: ModelSource) -> dict[str, int]:
    """Text to id, over the model's vocabulary and the added tokens."""
    try:
        added = {t["content"]: t["id"] for t in source.tokenizer.get("added_tokens") or []}
        vocab = source.tokenizer["model"]["vocab"]
        # Unigram models list [text, score] in the order of their ids.
        base = vocab if isinstance(vocab, dict) else {e[0]: i for i, e in enumerate(vocab)}
        both: dict[str, int] = {**base, **added}
        if not all(type(i) is int for i in both.values()):
            raise TypeError("an id is no integer")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidConfigError(
            f"{source.folder / 'tokenizer.json'} is no tokenizer: {error!r}"
        ) from None
    return both
