"""Texts of random tokens by the `tokenizers` package, which the runtime must give as well.

`runtime_js/src/testing/decodes.json` holds small tokenizers of four kinds, and digests of what
10,000 sequences of each decode to. `python builder/tests/test_decodes.py` writes it anew.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

FIXTURE = Path(__file__).parents[2] / "runtime_js/src/testing/decodes.json"
SEQUENCES = 10_000
GROUP = 100
MOST_UNITS = 24

Json = dict[str, Any]
CHARACTERS = ["é", "你", "😀", "\n", "a"]
PIECES = ["▁", "▁▁", "▁Hello", "▁world", "lo", "▁你", "你好", "😀", "é", ".", "a▁b", "▁🦙"]


def special(content: str, token: int) -> Json:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": content, "special": True, **flags}


def tokenizer(model: Json, decoder: Json, added: list[Json]) -> Json:
    rest = dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor"))
    return {"version": "1.0", "added_tokens": added, **rest, "decoder": decoder, "model": model}


def byte_level() -> tuple[Json, list[list[int]]]:
    """All bytes, whole and broken characters among longer tokens. A unit is a token."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    stands = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    texts = [bytes([b]) for b in range(256)]
    texts += [t.encode() for t in ("Hello", " world", "é", "你", "😀", " 🦙")]
    texts += ["😀".encode()[:2], "😀".encode()[2:] + b"a", "你".encode()[1:]]
    vocab = {"".join(stands[b] for b in text): i for i, text in enumerate(texts)}
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    decoder = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    end = len(vocab)
    json_ = tokenizer(model, decoder, [special("<|end|>", end)])
    return json_, [[i] for i in range(end + 1)]


def byte_fallback() -> tuple[Json, list[list[int]]]:
    """Pieces, and a token for each byte. A unit is a piece, or the bytes of a character."""
    texts = [f"<0x{b:02X}>" for b in range(256)] + PIECES
    vocab = {text: i for i, text in enumerate(texts)}
    model = {"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": True}
    replace = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    steps = [replace, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]
    decoder = {"type": "Sequence", "decoders": steps}
    json_ = tokenizer(model, decoder, [special("</s>", len(vocab))])
    pieces = [[i] for i in range(256, len(vocab) + 1)]
    return json_, pieces + [list(c.encode()) for c in CHARACTERS]


def unigram() -> tuple[Json, list[list[int]]]:
    """Pieces with a decoder that drops the space which its pre-tokenizer puts before a text."""
    scores = [["<unk>", 0.0], *([piece, -1.0 - i] for i, piece in enumerate(PIECES))]
    model = {"type": "Unigram", "unk_id": 0, "vocab": scores}
    decoder = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    json_ = tokenizer(model, decoder, [special("</s>", len(scores))])
    return json_, [[i] for i in range(1, len(scores) + 1)]


def word_piece() -> tuple[Json, list[list[int]]]:
    """Words and what goes on with them, with spaces before marks removed."""
    texts = [
        "[UNK]",
        "hello",
        "##lo",
        "world",
        "##s",
        ".",
        ",",
        "'",
        "'s",
        "n't",
        "你",
        "##😀",
        "!",
    ]
    vocab = {text: i for i, text in enumerate(texts)}
    words = {"unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    model = {"type": "WordPiece", **words, "max_input_chars_per_word": 100, "vocab": vocab}
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    json_ = tokenizer(model, decoder, [special("[SEP]", len(vocab))])
    return json_, [[i] for i in range(1, len(vocab) + 1)]


KINDS = {
    "byte-level BPE": byte_level,
    "SentencePiece BPE with byte fallback": byte_fallback,
    "Unigram": unigram,
    "WordPiece": word_piece,
}


def sequences(units: list[list[int]]) -> Iterator[list[int]]:
    """By a linear congruential generator, of which the high bits are used."""
    state = 1

    def below(n: int) -> int:
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return (state >> 8) % n

    for _ in range(SEQUENCES):
        count = 1 + below(MOST_UNITS)
        yield [token for _ in range(count) for token in units[below(len(units))]]


def kind(name: str) -> Json:
    json_, units = KINDS[name]()
    decoder = Tokenizer.from_str(json.dumps(json_))
    texts = [decoder.decode(ids, skip_special_tokens=True) for ids in sequences(units)]
    groups = [texts[i : i + GROUP] for i in range(0, SEQUENCES, GROUP)]
    digests = [hashlib.sha256("\0".join(g).encode()).hexdigest()[:16] for g in groups]
    return {
        "name": name,
        "tokenizer": json_,
        "units": units,
        "begin": texts[:8],
        "digests": digests,
    }


def fixture() -> Json:
    about = (
        "Small tokenizers, and what 10,000 random sequences of units of tokens decode to without "
        "control tokens: the first texts, and of each 100 the digest. One table for "
        "builder/tests/test_decodes.py, which writes it, and text/detokenizer.test.ts."
    )
    return {"about": about, "kinds": [kind(name) for name in KINDS]}


def test_fixture_is_what_tokenizers_says() -> None:
    assert json.loads(FIXTURE.read_text("utf-8")) == fixture()


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(fixture(), ensure_ascii=False) + "\n", "utf-8")
