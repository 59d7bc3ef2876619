"""Trains the demo model on a processor: ``python -m demo_model.train --minutes 60``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .checkpoint import save_folder, save_state
from .data import Batch, Mixer, Packer
from .network import Network, Shape
from .quantise import dequantised
from .tokenizer import train_tokenizer

SEED = 20240229
WARM_UP_STEPS = 40
DECAY_FROM = 0.6
"""Share of the run after which the learning rate falls, linearly."""
QUANTISED_FROM = 0.75
"""Share of the run after which the weights are rounded to int4 in every pass."""

# Rows, tokens in a row, most questions in one conversation; and how often.
USUAL = (24, 256, 3)
LONG = (10, 512, 14)
LONGEST = (4, 1024, 30)


def shape_of_step(step: int) -> tuple[int, int, int]:
    """Mostly short rows; some long ones, so that long chats keep working."""
    if step % 50 == 49:
        return LONGEST
    return LONG if step % 10 == 5 else USUAL


def rate(progress: float, step: int) -> float:
    """The factor on the learning rate: warm-up, plateau, linear fall."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    fall = (1.0 - progress) / (1.0 - DECAY_FROM)
    return warm * max(0.01, min(1.0, fall))


class Trainer:
    """The network, its two optimisers and the steps they take."""

    def __init__(self, tokenizer: Tokenizer, learning_rate: float, compiled: bool) -> None:
        self.tokenizer = tokenizer
        self.network = Network(Shape(tokenizer.get_vocab_size()))
        matrices = [p for n, p in self.network.named_parameters() if p.ndim == 2 and "layers" in n]
        others = [p for n, p in self.network.named_parameters() if p.ndim != 2 or "layers" not in n]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices,
                lr=learning_rate,
                weight_decay=0.05,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                others, lr=learning_rate, betas=(0.9, 0.97), weight_decay=0.0, fused=True
            ),
        ]
        self.learning_rate = learning_rate
        self.fast_body = torch.compile(self.network.model) if compiled else self.network.model

    def loss(self, batch: Batch, fast: bool) -> Tensor:
        body = self.fast_body if fast else self.network.model
        with torch.autocast("cpu", torch.bfloat16):
            hidden = body(batch.ids, batch.positions, batch.documents)
            return self.network.head_loss(hidden, batch.labels)

    def step(self, batch: Batch, factor: float, quantised: bool, fast: bool) -> float:
        """One update. Rounded weights get the gradient; the plain ones move by it."""
        matrices = [p for p in self.network.parameters() if p.ndim == 2]
        plain = []
        if quantised:
            plain = [p.detach().clone() for p in matrices]
            with torch.no_grad():
                for p in matrices:
                    p.copy_(dequantised(p))
        loss = self.loss(batch, fast)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for p, kept in zip(matrices, plain, strict=False):
                p.copy_(kept)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * factor
            optimiser.step()
            optimiser.zero_grad()
        return loss.item()


def parse_boost(text: str) -> dict[str, float]:
    """``addition=2,echo=0.5`` as factors on the shares of tasks."""
    pairs = (part.split("=") for part in text.split(",") if part)
    return {name: float(factor) for name, factor in pairs}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the run")
    parser.add_argument("--steps", type=int, help="length in steps, instead of --minutes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--state", type=Path, help="file to resume from and save to")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--boost", default="", help="factors on tasks: addition=2,echo=0.5")
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes between saves")
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    tokenizer = train_tokenizer(Mixer(SEED).texts(60_000))
    trainer = Trainer(tokenizer, args.learning_rate, not args.no_compile)
    step, before = 0, 0.0
    if args.state and args.state.exists():
        state = torch.load(args.state)
        trainer.network.load_state_dict(state["network"])
        for optimiser, saved in zip(trainer.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        step, before = state["step"], state["seconds"]
    packer = Packer(tokenizer, Mixer(SEED + 1 + step, parse_boost(args.boost)))
    count = sum(p.numel() for p in trainer.network.parameters())
    print(f"{count:,} parameters, vocabulary {tokenizer.get_vocab_size()}", flush=True)

    start = saved_at = shown_at = time.monotonic()
    tokens, losses = 0, []

    def save() -> None:
        save_folder(trainer.network, tokenizer, args.out)
        if args.state:
            seconds = before + time.monotonic() - start
            optimisers = [optimiser.state_dict() for optimiser in trainer.optimisers]
            network = trainer.network.state_dict()
            state = {"network": network, "optimisers": optimisers}
            save_state(args.state, {**state, "step": step, "seconds": seconds})

    while True:
        now = time.monotonic()
        seconds = before + now - start
        progress = step / args.steps if args.steps else seconds / (60 * args.minutes)
        if progress >= 1.0:
            break
        rows, length, longest = shape_of_step(step)
        batch = packer.batch(rows, length, longest)
        quantised = progress >= QUANTISED_FROM
        loss = trainer.step(batch, rate(progress, step), quantised, (rows, length) == USUAL[:2])
        step += 1
        tokens += rows * length
        losses.append(loss)
        if step % 20 == 0:
            left = seconds * (1 / max(progress, 1e-6) - 1) / 60
            print(
                f"step {step} loss {sum(losses) / len(losses):.4f} "
                f"{tokens / (time.monotonic() - shown_at):.0f} tok/s "
                f"lr x{rate(progress, step):.2f}{' int4' if quantised else ''} "
                f"{100 * progress:.1f} % done, {left:.0f} min left",
                flush=True,
            )
            tokens, losses, shown_at = 0, [], time.monotonic()
        if now - saved_at > 60 * args.save_every:
            save()
            saved_at = now
    save()
    print(f"done after {step} steps, {(before + time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
