"""Packs a small encoder with random weights, and embeds texts with it: the browser's reference.

python encoder.py FOLDER < texts.json

Standard input is a JSON list of texts; the pack is written to FOLDER if it is not there yet, and
standard output gets the JSON list of their vectors by the native executor.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from webbuild.native import NativeEncoder
from webbuild.pack import PackOptions, Reporter, pack_model
from webbuild.quantize import get_quantization
from webbuild.reference import write_tiny
from webbuild.sources import open_source


def make_pack(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        source = open_source(str(write_tiny("bert", Path(temporary))))
        quantization = get_quantization("q4f16_1")
        pack_model(source, quantization, folder, Reporter(quiet=True), PackOptions())


def main() -> None:
    folder = Path(sys.argv[1])
    if not folder.exists():
        make_pack(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids = tokenizer(json.load(sys.stdin)).input_ids
    json.dump(NativeEncoder.open(folder, "f32").embed(ids).tolist(), sys.stdout)


main()
