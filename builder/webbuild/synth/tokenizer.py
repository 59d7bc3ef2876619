"""A tokenizer that works for any vocabulary size: bytes, made-up words, special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webbuild.errors import InvalidConfigError

# ChatML; the special tokens are where the config has its own.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")


@dataclass(frozen=True, slots=True)
class SyntheticTokenizer:
    """The content of tokenizer.json and tokenizer_config.json."""

    tokenizer: dict[str, Any]
    config: dict[str, Any]


def make_tokenizer(
    vocab_size: int,
    bos: int | None,
    eos: Sequence[int],
    pad: int | None,
    encodes: bool = False,
) -> SyntheticTokenizer:
    """A byte-level BPE tokenizer with exactly `vocab_size` ids and specials at the given ones.

    It has no merges, so text becomes bytes; the other ids decode to made-up words, which make
    random generations readable. encodes: texts are put between [CLS] and [SEP].
    Raises InvalidConfigError if 256 bytes and the special tokens do not fit.
    """
    special: dict[int, str] = {}
    for index, end in enumerate(eos):
        special.setdefault(end, "<|im_end|>" if index == 0 else f"<|eos_{index}|>")
    for token, text in ((bos, "<|bos|>"), (pad, "<|pad|>")):
        if token is not None:
            special.setdefault(token, text)
    free = (i for i in range(vocab_size - 1, -1, -1) if i not in special)
    ends = ("[CLS]", "[SEP]")
    chat = ("<|im_start|>",) if eos else ("<|im_start|>", "<|im_end|>")
    for text in ends if encodes else chat:
        special[next(free, -1)] = text
    if vocab_size < 256 + len(special) or not all(0 <= i < vocab_size for i in special):
        raise InvalidConfigError(
            f"a vocabulary of {vocab_size} cannot hold 256 bytes and the special tokens "
            f"{sorted(special)}: raise vocab_size, or correct the token ids in the config"
        )

    ordinary = (i for i in range(vocab_size) if i not in special)
    vocab = {special[i]: i for i in sorted(special)}
    vocab |= {symbol: next(ordinary) for symbol in _byte_symbols()}
    vocab |= {f"Ġ{_word(i)}": i for i in ordinary}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": special[i],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i in sorted(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": _between(vocab, *ends) if encodes else None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(sorted(vocab.items(), key=lambda item: item[1])),
            "merges": [],
        },
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None if bos is None else special[bos],
        "eos_token": None if encodes and not eos else "<|im_end|>",
        "pad_token": None if pad is None else special[pad],
        "clean_up_tokenization_spaces": False,
    }
    return SyntheticTokenizer(tokenizer, config)


def _between(vocab: dict[str, int], before: str, after: str) -> dict[str, Any]:
    """Puts a text between two special tokens."""

    def token(text: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": text, "type_id": 0}}

    single = [token(before), {"Sequence": {"id": "A", "type_id": 0}}, token(after)]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}, token(after)]
    special = {
        text: {"id": text, "ids": [vocab[text]], "tokens": [text]} for text in (before, after)
    }
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def _byte_symbols() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes: itself, or the next character from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte if byte in printable else 0x100 + others.index(byte)) for byte in range(256)]


def _word(number: int) -> str:
    """A different pronounceable word for every number."""
    word = ""
    while True:
        number, syllable = divmod(number, len(_SYLLABLES))
        word += _SYLLABLES[syllable]
        if not number:
            return word
