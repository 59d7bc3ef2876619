"""Trains the demo model on a processor: ``python -m demo_model.train --minutes 60``.

``--model FOLDER`` goes on from a trained model, with its tokenizer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from .data import Mixer
from .network import Network, Shape
from .tokenizer import train_tokenizer
from .trainer import SEED, Options, train

TOKENIZER_TEXTS = 60_000


def parse_boost(text: str) -> dict[str, float]:
    """``addition=2,echo=0.5`` as factors on the shares of tasks."""
    pairs = (part.split("=") for part in text.split(",") if part)
    return {name: float(factor) for name, factor in pairs}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the run")
    parser.add_argument("--steps", type=int, help="length in steps, instead of --minutes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--model", type=Path, help="folder of a model to go on from")
    parser.add_argument("--tokenizer", type=Path, help="folder of a tokenizer to keep")
    parser.add_argument("--state", type=Path, help="file to resume from and save to")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--boost", default="", help="factors on tasks: addition=2,echo=0.5")
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes between saves")
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.manual_seed(SEED)
    if folder := args.tokenizer or args.model:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer(Mixer(SEED).texts(TOKENIZER_TEXTS))
    network = Network(Shape(tokenizer.get_vocab_size()))
    if args.model:
        network.load_state_dict(load_file(args.model / "model.safetensors"))
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{count:,} parameters, vocabulary {tokenizer.get_vocab_size()}", flush=True)
    options = Options(
        minutes=args.minutes,
        steps=args.steps,
        out=args.out,
        state=args.state,
        learning_rate=args.learning_rate,
        workers=args.workers,
        boost=parse_boost(args.boost),
        save_every=args.save_every,
        compiled=not args.no_compile,
        continued=args.model is not None,
    )
    train(network, tokenizer, options)


if __name__ == "__main__":
    main()
