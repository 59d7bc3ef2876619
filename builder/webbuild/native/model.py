"""A loaded model: prefill, decode, sample, generate."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as List
from pathlib import Path

import numpy as np
import numpy.typing as npt

from webbuild.errors import ContextFullError, InvalidRequestError, NoAdapterError
from webbuild.schema.check import largest_symbols
from webbuild.schema.program import SPLIT_CONTEXT

from .choose import advice_of, choose_kernels
from .device import Device, open_device
from .layout import StepLayout
from .memory import Memory
from .pack import Pack
from .player import Player
from .sampling import Sampling
from .sequence import PagePool, Sequence, StepPlan
from .works import PIECE_TOKENS, SOFTWARE_PIECE_TOKENS

F32 = npt.NDArray[np.float32]


class NativeModel:
    """One tier of a pack on a WebGPU device.

    Sequences come from `sequence()`; each holds a sampler slot until `release`. All methods block.
    """

    def __init__(self, pack: Pack, tier: str, device: Device, context_length: int) -> None:
        """Use `open`."""
        limits, program = pack.manifest.limits, pack.program
        self.pack = pack
        self.tier = tier
        self.context_length = context_length
        self.vocab_size = pack.manifest.model.vocab_size
        max_pages = -(-context_length // program.page_size)
        pages = max_pages * limits.max_batch
        self._load = {"max_pages": max_pages, "pages": pages}
        maxima = largest_symbols(pack.manifest, program) | self._load
        self._most_works = maxima.get("works", 0)
        self._piece_tokens = SOFTWARE_PIECE_TOKENS if device.software else PIECE_TOKENS
        self._functions = program.tiers[tier].functions.keys()
        self.split_context = SPLIT_CONTEXT
        """Tokens of the longest context from which contexts are decoded in pieces."""
        kernels = pack.kernels.kernels
        advice = advice_of(pack.kernels.records, device.kind, tier, kernels.values())
        chosen = choose_kernels(
            program.tiers[tier], kernels, device.features, device.software, advice
        )
        layout = StepLayout.plan(program, chosen, maxima)
        self._device = device.handle
        self._memory = Memory(device, pack, chosen, layout, maxima)
        self._player = Player(device, kernels, chosen, self._memory)
        self._pool = PagePool(pages, program.page_size)
        self._slots = list(range(limits.max_batch - 1, -1, -1))
        self._last: list[Sequence] = []

    @classmethod
    def open(
        cls,
        pack: Path | str | Pack,
        tier: str | None = None,
        context_length: int | None = None,
        verify_hashes: bool = False,
        device: Device | None = None,
    ) -> NativeModel:
        """Loads a pack onto the GPU.

        tier: "f16" or "f32"; None takes the first whose features the adapter has.
        context_length: most tokens of a sequence; None is the pack's default.
        Raises what `Pack.open` raises, NoAdapterError, AdapterLimitError, InvalidRequestError.
        """
        if not isinstance(pack, Pack):
            pack = Pack.open(pack, verify_hashes)
        tiers, limits = pack.program.tiers, pack.manifest.limits
        if tier is not None and tier not in tiers:
            raise InvalidRequestError(f"no tier {tier!r}: the pack has {', '.join(tiers)}")
        length = limits.default_context_length if context_length is None else context_length
        if not 0 < length <= limits.context_length:
            raise InvalidRequestError(
                f"context_length is {length}; the model takes 1 to {limits.context_length}"
            )
        device = device or open_device()
        wanted = list(tiers) if tier is None else [tier]
        for name in wanted:
            if device.features.issuperset(tiers[name].requires):
                return cls(pack, name, device, length)
        raise NoAdapterError(
            f"{device.adapter} lacks {', '.join(tiers[wanted[-1]].requires)}, which tier "
            f"{wanted[-1]} needs: take another tier"
        )

    @property
    def nbytes(self) -> int:
        """GPU bytes allocated: weights, storages, buffers and step block."""
        return self._memory.nbytes

    # --- sequences -----------------------------------------------------------------------------

    def sequence(self, sampling: Sampling | None = None) -> Sequence:
        """A new, empty sequence. Raises ContextFullError if all sampler slots are taken."""
        sampling = sampling or Sampling()
        for token in sampling.logit_bias:
            self._check_token(token)
        if not self._slots:
            raise ContextFullError("all sampler slots are taken: release a sequence first")
        sequence = Sequence(self._slots.pop(), sampling)
        row = sequence.slot * self.vocab_size * 4
        self._write("token_counts", np.zeros(self.vocab_size, "<u4"), row)
        bias = np.zeros(self.vocab_size, "<f4")
        for token, value in sampling.logit_bias.items():
            bias[token] = value
        self._write("logit_bias", bias, row)
        return sequence

    def release(self, sequence: Sequence) -> None:
        """Gives back a sequence's pages and slot."""
        self._pool.release(sequence)
        self._slots.append(sequence.slot)

    def rewind(self, sequence: Sequence, length: int) -> None:
        """Lets `sequence` have `length` tokens: fewer than it had, or more, whose keys and values
        are whatever the pages hold. Raises ContextFullError if there are no pages for so many."""
        self._pool.grow(sequence, length)
        sequence.length = length

    # --- steps ---------------------------------------------------------------------------------

    def prefill(self, sequence: Sequence, tokens: Iterable[int]) -> None:
        """Appends `tokens` to one sequence, in chunks of the pack's size. Then: `logits()`."""
        tokens = list(tokens)
        if sequence.length + len(tokens) > self.context_length:
            raise ContextFullError(
                f"{sequence.length} + {len(tokens)} tokens exceed the context of "
                f"{self.context_length}: shorten the prompt, or open with a longer context"
            )
        if not tokens:
            raise InvalidRequestError("no tokens: a prompt has at least one")
        chunk = self.pack.manifest.limits.prefill_chunk
        for start in range(0, len(tokens), chunk):
            self.step([(sequence, tokens[start : start + chunk])])

    def step(self, batch: List[tuple[Sequence, List[int]]]) -> None:
        """One ragged `prefill` step: appends tokens to each of several sequences."""
        limits = self.pack.manifest.limits
        counts = [len(tokens) for _, tokens in batch]
        if not batch or len(batch) > limits.max_batch or not all(counts):
            raise InvalidRequestError(f"a step has 1 to {limits.max_batch} sequences with tokens")
        if sum(counts) > limits.prefill_chunk:
            raise ContextFullError(f"{sum(counts)} tokens exceed a step's {limits.prefill_chunk}")
        ids = [token for _, tokens in batch for token in tokens]
        for token in ids:
            self._check_token(token)
        self._run("prefill", list(zip([s for s, _ in batch], counts, strict=True)), ids)

    def decode(self, sequences: List[Sequence], tokens: List[int] | None = None) -> None:
        """Appends one token to each sequence: `tokens`, or (None) those that `sample` has drawn.

        The latter needs the same sequences in the same order as in the step that was sampled.
        """
        limits = self.pack.manifest.limits
        if not 0 < len(sequences) <= limits.max_batch:
            raise InvalidRequestError(f"a step has 1 to {limits.max_batch} sequences")
        if tokens is None and sequences != self._last:
            raise InvalidRequestError("other sequences than in the last step: give their tokens")
        if tokens is not None:
            if len(tokens) != len(sequences):
                raise InvalidRequestError("decode takes one token for each sequence")
            for token in tokens:
                self._check_token(token)
        longest = max(sequence.length for sequence in sequences) + 1
        split = longest >= self.split_context and "decode_split" in self._functions
        name = "decode_split" if split else "decode"
        self._run(name, [(sequence, 1) for sequence in sequences], tokens)

    def logits(self) -> F32:
        """f32 [sequences, vocab]: raw logits after the last token of each, of the last step."""
        data = self._read("logits", len(self._last) * self.vocab_size * 4)
        return data.view("<f4").reshape(len(self._last), self.vocab_size)

    def sample(self) -> list[int]:
        """Draws the next token of each sequence of the last step."""
        self._player.run("sample", *self._plan([(sequence, 1) for sequence in self._last]))
        for sequence in self._last:
            sequence.generated += 1
        rows = self._read("sampled", len(self._last) * 256).view("<u4").reshape(-1, 64)
        return [int(token) for token in rows[:, 0]]

    def logprobs(self) -> list[tuple[float, dict[int, float]]]:
        """Per sequence of the last `sample`: log-probability of its token and of the top ones."""
        self._player.run("logprobs", *self._plan([(sequence, 1) for sequence in self._last]))
        rows = self._read("sampled", len(self._last) * 256).view("<u4").reshape(-1, 64)
        result = []
        for row, sequence in zip(rows, self._last, strict=True):
            top = min(sequence.sampling.top_logprobs, self.vocab_size)
            values = row[24 : 24 + top].view("<f4")
            pairs = zip(row[4 : 4 + top], values, strict=True)
            result.append((float(row[1:2].view("<f4")[0]), {int(i): float(x) for i, x in pairs}))
        return result

    def generate(
        self,
        prompt: Iterable[int],
        max_tokens: int,
        sampling: Sampling | None = None,
        stop_at_eos: bool = True,
    ) -> list[int]:
        """The tokens after `prompt`, up to an end-of-sequence token (included) or the limits."""
        sequence = self.sequence(sampling)
        ends = self.pack.manifest.tokens.eos if stop_at_eos else ()
        tokens: list[int] = []
        try:
            self.prefill(sequence, prompt)
            while len(tokens) < max_tokens:
                tokens += self.sample()
                full = sequence.length == self.context_length
                if tokens[-1] in ends or full or len(tokens) == max_tokens:
                    break
                self.decode([sequence])
        finally:
            self.release(sequence)
        return tokens

    # --- inside --------------------------------------------------------------------------------

    def _run(self, function: str, batch: list[tuple[Sequence, int]], ids: List[int] | None) -> None:
        for sequence, count in batch:
            length = sequence.length + count
            if length > self.context_length:
                raise ContextFullError(f"the context of {self.context_length} tokens is full")
            self._pool.grow(sequence, length)
        if ids is not None:
            self._write("token_ids", np.array(ids, "<i4"), 0)
        self._player.run(function, *self._plan(batch))
        for sequence, count in batch:
            sequence.length += count
        self._last = [sequence for sequence, _ in batch]

    def _plan(
        self, batch: list[tuple[Sequence, int]]
    ) -> tuple[dict[str, npt.NDArray[np.generic]], dict[str, int]]:
        page_size = self.pack.program.page_size
        plan = StepPlan.make(
            batch, self._load["max_pages"], page_size, self._most_works, self._piece_tokens
        )
        return plan.inputs, plan.symbols | self._load

    def _check_token(self, token: int) -> None:
        if not 0 <= token < self.vocab_size:
            raise InvalidRequestError(
                f"token {token}; the vocabulary is 0 to {self.vocab_size - 1}"
            )

    def _write(self, name: str, data: npt.NDArray[np.generic], offset: int) -> None:
        self._device.queue.write_buffer(self._memory.buffers[name], offset, data.tobytes())

    def _read(self, name: str, nbytes: int) -> npt.NDArray[np.uint8]:
        data = self._device.queue.read_buffer(self._memory.buffers[name], 0, nbytes)
        return np.frombuffer(data, np.uint8)
