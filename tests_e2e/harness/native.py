"""Greedy answers of the native executor: the reference for the browser's.

python native.py PACK TIER MAX_TOKENS < conversations.json

Standard input is a JSON list of message lists; standard output gets the JSON list of the answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from webbuild.native import NativeModel


def main() -> None:
    pack, tier, max_tokens = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(pack / "tokenizer.json"),
        chat_template=(pack / "chat_template.jinja").read_text(encoding="utf-8"),
    )
    model = NativeModel.open(pack, tier)
    answers = []
    for messages in json.load(sys.stdin):
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        tokens = model.generate(ids, max_tokens)
        answers.append(tokenizer.decode(tokens, skip_special_tokens=True))
    json.dump(answers, sys.stdout)


main()
