"""make figure-masks: masks of grammars at a vocabulary of 128k tokens.

Microseconds a mask takes, computed anew and with the cache of masks, milliseconds to compile, and
the size of the engine. The vocabulary is a byte-level BPE trained on Python's own library, kept
under .cache/figures. Along answers such as a model gives, both sides are asked at every token, in
turns; in the first round the cache knows nothing. Before: `make setup build`. The last line is one
JSON object.
"""

import argparse
import json
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def vocabulary(size: int, kept: Path) -> Path:
    """A JSON list of each token's bytes in hexadecimal; the last one ends an answer."""
    if kept.exists():
        return kept
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    files = [path for path in library if "-packages" not in str(path)]
    texts = (path.read_text("utf-8", "ignore") for path in files)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(texts, trainer)
    # GPT-2's stand-ins: printable bytes are themselves, the rest follow from U+0100.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of |= {chr(0x100 + i): byte for i, byte in enumerate(others)}
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=lambda token: ids[token])
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps([*(bytes(byte_of[c] for c in t).hex() for t in tokens), ""]))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128_000)
    parser.add_argument("--rounds", type=int, default=3, help="how often each answer is given")
    args = parser.parse_args()
    kept = vocabulary(args.tokens, ROOT / f".cache/figures/vocabulary-{args.tokens}.json")
    script = ROOT / "scripts/figures/masks.mjs"
    subprocess.run(["node", str(script), str(kept), str(args.rounds)], check=True)


if __name__ == "__main__":
    main()
