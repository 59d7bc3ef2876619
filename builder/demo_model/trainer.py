"""Training in several processes that share the weights, one thread each.

Threads that wait for each other inside every matrix product waste a machine that has
other work to do. Here each process takes small batches from a common counter until
the step is complete, so a process that is held up just takes fewer, and they meet only
twice a step. What a batch holds depends on its number alone, not on who computes it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from .checkpoint import save_folder, save_state
from .data import Batch, Mixer, Packer
from .network import Network
from .quantise import dequantised

SEED = 20240229
WARM_UP_STEPS = 40
DECAY_FROM = 0.6
"""Share of the run after which the learning rate falls, linearly."""
QUANTISED_FROM = 0.75
"""Share of the run after which the weights are rounded to int4 in every pass."""

HAS_BF16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
"""Elsewhere products of bfloat16 are emulated, many times slower than those of float32."""


@dataclass(frozen=True)
class Work:
    """What one step consists of: batches, rows, tokens in a row, most questions in a chat."""

    batches: int
    rows: int
    length: int
    longest: int

    @property
    def tokens(self) -> int:
        return self.batches * self.rows * self.length


USUAL = Work(2, 6, 256, 3)
LONG = Work(2, 3, 512, 14)
LONGEST = Work(2, 2, 1024, 30)


def work_of_step(step: int) -> Work:
    """Mostly short rows; some long ones, so that long chats keep working."""
    if step % 100 == 49:
        return LONGEST
    return LONG if step % 20 == 5 else USUAL


@dataclass(frozen=True)
class Options:
    """What the command line sets."""

    minutes: float
    steps: int | None
    out: Path
    state: Path | None
    learning_rate: float
    workers: int
    boost: dict[str, float]
    save_every: float
    compiled: bool
    continued: bool
    """The weights are those of a trained model: int4 rounds them from the first step."""


def rate(progress: float, step: int) -> float:
    """The factor on the learning rate: warm-up, plateau, linear fall."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    fall = (1.0 - progress) / (1.0 - DECAY_FROM)
    return warm * max(0.01, min(1.0, fall))


@dataclass
class Shared:
    """What the processes have in common."""

    master: Network
    gradients: list[list[Tensor]]
    losses: Tensor
    progress: Any
    next_batch: Any
    save_now: Any
    barrier: Barrier
    first_step: int
    seconds_before: float


@dataclass
class Log:
    """Lines about the progress, from one of the processes."""

    tokens: int = 0
    losses: list[float] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def add(self, step: int, progress: float, seconds: float, work: Work, loss: float) -> None:
        self.tokens += work.tokens
        self.losses.append(loss)
        if step % 20:
            return
        now = time.monotonic()
        left = seconds * (1 / max(progress, 1e-6) - 1) / 60
        print(
            f"step {step} loss {sum(self.losses) / len(self.losses):.4f} "
            f"{self.tokens / (now - self.since):.0f} tok/s lr x{rate(progress, step):.2f}"
            f"{' int4' if progress >= QUANTISED_FROM else ''} "
            f"{100 * progress:.1f} % done, {left:.0f} min left",
            flush=True,
        )
        self.tokens, self.losses, self.since = 0, [], now


class Worker:
    """One process: its copy of the network and its share of the optimisers' work."""

    def __init__(self, rank: int, shared: Shared, tokenizer: Tokenizer, options: Options) -> None:
        torch.set_num_threads(1)
        self.rank, self.shared, self.options = rank, shared, options
        self.tokenizer = tokenizer
        self.network = Network(shared.master.shape)
        for parameter, gradient in zip(
            self.network.parameters(), shared.gradients[rank], strict=True
        ):
            parameter.grad = gradient
        body = self.network.model
        self.fast_body = torch.compile(body, dynamic=False) if options.compiled else body
        self.packer = Packer(tokenizer, Mixer(SEED))
        self.mine = self._share()
        named = dict(shared.master.named_parameters())
        # Muon's own products are of bfloat16, whatever the weights are.
        muon = {n for n in self.mine if HAS_BF16 and named[n].ndim == 2 and "layers" in n}
        layers = [named[n] for n in self.mine if n in muon]
        others = [named[n] for n in self.mine if n not in muon]
        lr = options.learning_rate
        self.optimisers: list[torch.optim.Optimizer] = []
        if layers:
            self.optimisers.append(
                torch.optim.Muon(
                    layers, lr=lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"
                )
            )
        if others:
            self.optimisers.append(
                torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.97), weight_decay=0.0)
            )
        path = self._optimiser_path()
        if path is not None and path.exists():
            saved_states = torch.load(path)
            for optimiser, saved in zip(self.optimisers, saved_states, strict=True):
                optimiser.load_state_dict(saved)

    def _share(self) -> list[str]:
        """The parameters this process updates: each goes to whoever has the least."""
        loads = [0] * self.options.workers
        mine = []
        named = list(self.shared.master.named_parameters())
        for name, parameter in sorted(named, key=lambda pair: -pair[1].numel()):
            rank = loads.index(min(loads))
            loads[rank] += max(parameter.numel(), 1)
            if rank == self.rank:
                mine.append(name)
        return mine

    def _optimiser_path(self) -> Path | None:
        state = self.options.state
        if state is None:
            return None
        return state.with_suffix(f".optimiser{self.rank}of{self.options.workers}")

    def load_weights(self, quantised: bool) -> None:
        """The common weights, or what int4 makes of them: the gradient is taken there."""
        with torch.no_grad():
            pairs = zip(self.network.parameters(), self.shared.master.parameters(), strict=True)
            for local, master in pairs:
                local.copy_(dequantised(master) if quantised and master.ndim == 2 else master)
                assert local.grad is not None
                local.grad.zero_()

    def loss(self, batch: Batch, fast: bool) -> Tensor:
        body = self.fast_body if fast else self.network.model
        with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16):
            hidden = body(batch.ids, batch.positions, batch.documents)
            return self.network.head_loss(hidden, batch.labels)

    def batches(self, step: int, work: Work) -> float:
        """Takes batches of this step while there are any; returns the sum of losses."""
        total = 0.0
        while True:
            with self.shared.next_batch.get_lock():
                number = self.shared.next_batch.value
                self.shared.next_batch.value += 1
            if number >= work.batches:
                return total
            seed = SEED + 1 + step * 100 + number
            self.packer.mixer = Mixer(seed, self.options.boost)
            batch = self.packer.batch(work.rows, work.length, work.longest)
            loss = self.loss(batch, work == USUAL) / work.batches
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()

    def update(self, factor: float) -> None:
        """Moves this process's share of the common weights."""
        gradients = zip(*self.shared.gradients, strict=True)
        for (name, master), parts in zip(
            self.shared.master.named_parameters(), gradients, strict=True
        ):
            if name in self.mine:
                master.grad = torch.stack(parts).sum(0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.options.learning_rate * factor
            optimiser.step()
            optimiser.zero_grad()

    def save(self, step: int, seconds: float) -> None:
        path = self._optimiser_path()
        if path is not None:
            torch.save([optimiser.state_dict() for optimiser in self.optimisers], path)
        if self.rank == 0:
            save_folder(self.shared.master, self.tokenizer, self.options.out)
            if self.options.state is not None:
                weights = self.shared.master.state_dict()
                state = {"network": weights, "step": step, "seconds": seconds}
                save_state(self.options.state, state)

    def run(self) -> None:
        options, shared = self.options, self.shared
        start = time.monotonic()
        step, log = shared.first_step, Log()
        saves = int(shared.seconds_before / 60 / options.save_every)
        while True:
            if self.rank == 0:
                seconds = shared.seconds_before + time.monotonic() - start
                clock = seconds / (60 * options.minutes)
                shared.progress.value = step / options.steps if options.steps else clock
                shared.next_batch.value = 0
                shared.save_now.value = clock >= (saves + 1) * options.save_every / options.minutes
                saves += shared.save_now.value
            shared.barrier.wait()
            progress = shared.progress.value
            seconds = shared.seconds_before + time.monotonic() - start
            if progress >= 1.0:
                break
            if shared.save_now.value:
                self.save(step, seconds)
            work = work_of_step(step)
            self.load_weights(options.continued or progress >= QUANTISED_FROM)
            shared.losses[self.rank] = self.batches(step, work)
            shared.barrier.wait()
            self.update(rate(progress, step))
            step += 1
            if self.rank == 0:
                log.add(step, progress, seconds, work, shared.losses.sum().item())
        self.save(step, seconds)
        if self.rank == 0:
            print(f"done after {step} steps, {seconds / 60:.1f} minutes")


def in_common(tensor: Tensor) -> Tensor:
    """The tensor in memory that the other processes see, too."""
    tensor.share_memory_()  # type: ignore[no-untyped-call]
    return tensor


def _work(rank: int, shared: Shared, tokenizer_json: str, options: Options) -> None:
    Worker(rank, shared, Tokenizer.from_str(tokenizer_json), options).run()


def train(network: Network, tokenizer: Tokenizer, options: Options) -> None:
    """Trains in ``options.workers`` processes, from the saved state if there is one."""
    step, seconds = 0, 0.0
    if options.state is not None and options.state.exists():
        state = torch.load(options.state)
        network.load_state_dict(state["network"])
        step, seconds = state["step"], state["seconds"]
    network.share_memory()
    gradients = [
        [in_common(torch.zeros_like(parameter)) for parameter in network.parameters()]
        for _ in range(options.workers)
    ]
    context = get_context("spawn")
    shared = Shared(
        network,
        gradients,
        in_common(torch.zeros(options.workers)),
        context.Value("d", 0.0),
        context.Value("i", 0),
        context.Value("b", 0),
        context.Barrier(options.workers),
        step,
        seconds,
    )
    spawn(_work, (shared, tokenizer.to_str(), options), options.workers)  # type: ignore[no-untyped-call]
