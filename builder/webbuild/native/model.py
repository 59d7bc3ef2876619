"""A loaded model: prefill, decode, sample, generate."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as List
from pathlib import Path

import numpy as np
import numpy.typing as npt

from webbuild.errors import (
    ContextFullError,
    InvalidRequestError,
    NoAdapterError,
    WrongModelKindError,
)
from webbuild.schema.capacity import Capacity
from webbuild.schema.check import ITEM_BYTES
from webbuild.schema.expression import evaluate
from webbuild.schema.program import SOFTWARE_SPLIT_CONTEXT, SPLIT_CONTEXT

from .choose import advice_of, choose_kernels
from .device import Device, open_device
from .kept import Kept, kept_numbers
from .layout import StepLayout
from .memory import Memory
from .pack import Pack
from .player import Player
from .sampling import Sampling
from .sequence import PagePool, Row, Sequence, StepPlan, sampling_rows
from .works import PIECE_TOKENS, SOFTWARE_PIECE_TOKENS, cores_here

_MASK_HEAD = 2
"""Words of a row of `masks` before its mask."""

F32 = npt.NDArray[np.float32]


class NativeModel:
    """One tier of a pack on a WebGPU device.

    Sequences come from `sequence()`; each holds a sampler slot until `release`. All methods block.
    """

    def __init__(self, pack: Pack, tier: str, device: Device, capacity: Capacity) -> None:
        """Use `open`."""
        program = pack.program
        self.pack = pack
        self.tier = tier
        self.context_length = capacity.context_length
        self.max_batch = capacity.max_batch
        self.vocab_size = pack.manifest.model.vocab_size
        self._most = maxima = capacity.symbols(program)
        self._load = {name: maxima[name] for name in ("max_pages", "pages", "slots")}
        self._most_parts = maxima.get("parts", 0)
        self._piece_tokens = SOFTWARE_PIECE_TOKENS if device.software else PIECE_TOKENS
        self._cores = cores_here() if device.software else 0
        self._functions = program.tiers[tier].functions.keys()
        buffers = {buffer.name: buffer for buffer in program.tiers[tier].buffers}
        self._mask_row_words = int(evaluate(buffers["masks"].shape[-1], maxima))
        self.split_context = SOFTWARE_SPLIT_CONTEXT if device.software else SPLIT_CONTEXT
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
        self._pool = PagePool(maxima["pages"], program.page_size)
        self._slots = list(range(self.max_batch - 1, -1, -1))
        self._last: tuple[list[Row], StepPlan] | None = None

    @classmethod
    def open(
        cls,
        pack: Path | str | Pack,
        tier: str | None = None,
        context_length: int | None = None,
        verify_hashes: bool = False,
        device: Device | None = None,
        max_batch: int | None = None,
        kv_tokens: int | None = None,
    ) -> NativeModel:
        """Loads a pack onto the GPU.

        tier: "f16" or "f32"; None takes the first whose features the adapter has.
        context_length, max_batch, kv_tokens: most tokens of a sequence, most sequences at once,
        positions in the KV pool; None is what `Capacity.choose` says.
        Raises what `Pack.open` raises, WrongModelKindError, NoAdapterError, AdapterLimitError,
        InvalidRequestError.
        """
        if not isinstance(pack, Pack):
            pack = Pack.open(pack, verify_hashes)
        if pack.manifest.embedding is not None:
            raise WrongModelKindError(
                f"{pack.folder} holds a model that embeds texts: open it with NativeEncoder"
            )
        tiers, limits = pack.program.tiers, pack.manifest.limits
        if tier is not None and tier not in tiers:
            raise InvalidRequestError(f"no tier {tier!r}: the pack has {', '.join(tiers)}")
        capacity = Capacity.choose(limits, context_length, max_batch, kv_tokens)
        device = device or open_device()
        wanted = list(tiers) if tier is None else [tier]
        for name in wanted:
            if device.features.issuperset(tiers[name].requires):
                return cls(pack, name, device, capacity)
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

    def mask(self, sequence: Sequence, allowed: npt.NDArray[np.bool_] | None) -> None:
        """From now on `sequence` draws only what `allowed`, bool [vocab], says; None: any token."""
        # Row 0 allows all.
        sequence.mask_row = 0 if allowed is None else sequence.slot + 1
        if allowed is None:
            return
        words = np.zeros(-(-self.vocab_size // 32), "<u4")
        packed = np.packbits(allowed, bitorder="little")
        words.view(np.uint8)[: len(packed)] = packed
        row_words = self._mask_row_words
        self._write("masks", words, 4 * (sequence.mask_row * row_words + _MASK_HEAD))

    def release(self, sequence: Sequence) -> None:
        """Gives back a sequence's pages and slot."""
        self._pool.release(sequence)
        self._slots.append(sequence.slot)

    def rewind(self, sequence: Sequence, length: int) -> None:
        """Lets `sequence` have `length` tokens: fewer than it had, or more, whose keys and values
        are whatever the pages hold. Raises ContextFullError if there are no pages for so many."""
        self._pool.grow(sequence, length)
        sequence.length = length

    def kept(self, sequence: Sequence) -> Kept:
        """Keys and values of a sequence's tokens as its pages hold them, layer by layer."""
        tier = self.pack.program.tiers[self.tier]
        layers = []
        for layer in range(self.pack.manifest.model.layers):
            halves = []
            for name in (f"kv_k.{layer}", f"kv_v.{layer}"):
                buffer = next(one for one in tier.buffers if one.name == name)
                _, heads, size, row = (evaluate(part, self._most) for part in buffer.shape)
                nbytes = heads * size * row * ITEM_BYTES[buffer.dtype]
                pages = [self._read(name, nbytes, page * nbytes) for page in sequence.pages]
                rows = np.stack(pages).reshape(len(pages), heads, size, -1).swapaxes(1, 2)
                flat = rows.reshape(len(pages) * size, heads, -1)[: sequence.length]
                halves.append(np.ascontiguousarray(flat))
            layers.append(kept_numbers(halves[0], halves[1], tier.kv_dtype))
        return layers

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
        self._count(sequence, tokens)
        chunk = self.pack.manifest.limits.prefill_chunk
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            last = start + chunk >= len(tokens)
            self.run([Row(sequence, part, [len(part) - 1] if last else [])])

    def step(self, batch: List[tuple[Sequence, List[int]]]) -> None:
        """Appends tokens to each of several sequences; the last of each has logits."""
        for sequence, tokens in batch:
            self._count(sequence, [token for token in tokens if token >= 0])
        self.run([Row(sequence, tokens, [len(tokens) - 1]) for sequence, tokens in batch])

    def decode(self, sequences: List[Sequence], tokens: List[int] | None = None) -> None:
        """Appends one token to each sequence: `tokens`, or (None) those that `sample` has drawn."""
        if tokens is None:
            if not all(sequence.drawn for sequence in sequences):
                raise InvalidRequestError("a sequence has drawn nothing yet: give its token")
            tokens = [-1 - sequence.slot for sequence in sequences]
        if len(tokens) != len(sequences):
            raise InvalidRequestError("decode takes one token for each sequence")
        self.run([Row(one, [token], [0]) for one, token in zip(sequences, tokens, strict=True)])

    def run(self, batch: list[Row]) -> None:
        """One step: every row's tokens are appended to its sequence. Then: `logits()`, `sample()`.

        Rows of one token, all of them sampled, are decoded; any other step is a `prefill`.
        """
        self._check(batch)
        for row in batch:
            self._pool.grow(row.sequence, row.sequence.length + len(row.tokens))
        plan = StepPlan.make(
            batch,
            self._load["max_pages"],
            self.pack.program.page_size,
            self._most_parts,
            self._piece_tokens,
            self._cores,
        )
        self._player.run(self._function(batch, plan), plan.inputs, plan.symbols | self._load)
        for row in batch:
            row.sequence.length += len(row.tokens)
            row.sequence.drawn = False
        self._last = (batch, plan)

    def logits(self) -> F32:
        """f32 [outs, vocab]: raw logits of the last step's rows, in order."""
        count = self._outs().symbols["outs"]
        data = self._read("logits", count * self.vocab_size * 4)
        return data.view("<f4").reshape(count, self.vocab_size)

    def sample(self) -> list[int]:
        """Draws a token after each out of the last step."""
        plain = all(row.sequence.sampling.plain for row in self._rows())
        plain = plain and "sample_plain" in self._functions
        rows = self._sampler("sample_plain" if plain else "sample")
        for row in self._rows():
            row.sequence.generated += len(row.outs)
            row.sequence.drawn = row.outs[-1:] == [len(row.tokens) - 1]
        return [int(token) for token in rows[:, 0]]

    def logprobs(self) -> list[tuple[float, dict[int, float]]]:
        """Per token of the last `sample`: its log-probability, and those of the top ones."""
        rows = self._sampler("logprobs")
        result = []
        sequences = [row.sequence for row in self._rows() for _ in row.outs]
        for row, sequence in zip(rows, sequences, strict=True):
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

    def _function(self, batch: list[Row], plan: StepPlan) -> str:
        if any(len(row.tokens) > 1 or not row.outs for row in batch):
            return "prefill"
        longest = max(row.sequence.length for row in batch) + 1
        pays = longest >= self.split_context or plan.sharing_pays
        split = pays and "decode_split" in self._functions
        return "decode_split" if split else "decode"

    def _check(self, batch: list[Row]) -> None:
        slots = range(-self.max_batch, 0)
        if not 0 < len(batch) <= self.max_batch or not all(row.tokens for row in batch):
            raise InvalidRequestError(f"a step has 1 to {self.max_batch} sequences with tokens")
        for row in batch:
            for token in row.tokens:
                if token not in slots:
                    self._check_token(token)
            if not all(0 <= out < len(row.tokens) for out in row.outs):
                raise InvalidRequestError(f"outs {row.outs} of {len(row.tokens)} tokens")
            if row.sequence.length + len(row.tokens) > self.context_length:
                raise ContextFullError(f"the context of {self.context_length} tokens is full")
        for symbol, count in (
            ("tokens", sum(len(row.tokens) for row in batch)),
            ("outs", sum(len(row.outs) for row in batch)),
        ):
            if count > self._most[symbol]:
                raise ContextFullError(f"{count} {symbol} exceed a step's {self._most[symbol]}")

    def _outs(self) -> StepPlan:
        """The last step's plan. Raises InvalidRequestError before the first step."""
        if self._last is None:
            raise InvalidRequestError("no step has run yet: prefill a sequence first")
        return self._last[1]

    def _rows(self) -> list[Row]:
        return [] if self._last is None else self._last[0]

    def _sampler(self, function: str) -> npt.NDArray[np.uint32]:
        """u32 [outs, 64]: what `sampled` holds after `function`."""
        plan = self._outs()
        inputs = plan.inputs | {"sampling": sampling_rows(self._rows())}
        self._player.run(function, inputs, plan.symbols | self._load)
        data = self._read("sampled", plan.symbols["outs"] * 256)
        return data.view("<u4").reshape(-1, 64)

    def _count(self, sequence: Sequence, tokens: list[int]) -> None:
        """Penalties see these tokens of its prompt as they see those it draws."""
        if not sequence.sampling.uses_penalties:
            return
        for token in tokens:
            self._check_token(token)
        nbytes = self.vocab_size * 4
        counts = self._read("token_counts", nbytes, sequence.slot * nbytes).view("<u4")
        added = np.bincount(tokens, minlength=self.vocab_size).astype("<u4")
        self._write("token_counts", counts + added, sequence.slot * nbytes)

    def _check_token(self, token: int) -> None:
        if not 0 <= token < self.vocab_size:
            raise InvalidRequestError(
                f"token {token}; the vocabulary is 0 to {self.vocab_size - 1}"
            )

    def _write(self, name: str, data: npt.NDArray[np.generic], offset: int) -> None:
        self._device.queue.write_buffer(self._memory.buffers[name], offset, data.tobytes())

    def _read(self, name: str, nbytes: int, offset: int = 0) -> npt.NDArray[np.uint8]:
        data = self._device.queue.read_buffer(self._memory.buffers[name], offset, nbytes)
        return np.frombuffer(data, np.uint8)
