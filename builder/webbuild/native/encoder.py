"""A loaded encoder: tokens of texts in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence
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
from webbuild.schema.pack import Pooling

from .choose import advice_of, choose_kernels
from .device import Device, open_device
from .layout import StepLayout
from .memory import Memory
from .pack import Pack
from .player import Player

F32 = npt.NDArray[np.float32]


class NativeEncoder:
    """One tier of an encoder's pack on a WebGPU device. All methods block."""

    def __init__(self, pack: Pack, tier: str, device: Device) -> None:
        """Use `open`."""
        if pack.manifest.embedding is None:
            raise WrongModelKindError(
                f"{pack.folder} holds a model that generates text: open it with NativeModel"
            )
        self.pack = pack
        self.tier = tier
        self.vocab_size = pack.manifest.model.vocab_size
        self.about = pack.manifest.embedding
        limits, program, kernels = pack.manifest.limits, pack.program, pack.kernels.kernels
        self._most = maxima = Capacity.choose(limits, max_batch=limits.max_batch).symbols(program)
        advice = advice_of(pack.kernels.records, device.kind, tier, kernels.values())
        tiers = program.tiers[tier]
        chosen = choose_kernels(tiers, kernels, device.features, device.software, advice)
        layout = StepLayout.plan(program, chosen, maxima)
        self._device = device.handle
        self._memory = Memory(device, pack, chosen, layout, maxima)
        self._player = Player(device, kernels, chosen, self._memory)

    @classmethod
    def open(
        cls,
        pack: Path | str | Pack,
        tier: str | None = None,
        verify_hashes: bool = False,
        device: Device | None = None,
    ) -> NativeEncoder:
        """Loads a pack onto the GPU; tier None takes the first whose features the adapter has.

        Raises what `Pack.open` raises, WrongModelKindError, NoAdapterError, AdapterLimitError,
        InvalidRequestError.
        """
        if not isinstance(pack, Pack):
            pack = Pack.open(pack, verify_hashes)
        tiers = pack.program.tiers
        if tier is not None and tier not in tiers:
            raise InvalidRequestError(f"no tier {tier!r}: the pack has {', '.join(tiers)}")
        device = device or open_device()
        for name in tiers if tier is None else [tier]:
            if device.features.issuperset(tiers[name].requires):
                return cls(pack, name, device)
        raise NoAdapterError(f"{device.adapter} has the features of none of the tiers wanted")

    def embed(
        self,
        texts: Sequence[Sequence[int]],
        pooling: Pooling | None = None,
        normalize: bool | None = None,
    ) -> F32:
        """f32 [texts, hidden size]: a vector for each text, given as token ids, special ones too.

        pooling, normalize: None is what the pack says. As many texts as fit share a step.
        Raises InvalidRequestError for a text without tokens or an id outside the vocabulary,
        ContextFullError for a text that is too long.
        """
        for tokens in texts:
            self._check(tokens)
        vectors: list[F32] = []
        step: list[Sequence[int]] = []
        for tokens in texts:
            used = sum(map(len, step)) + len(tokens)
            if used > self._most["tokens"] or len(step) == self._most["seqs"]:
                vectors.append(self._step(step, pooling or self.about.pooling))
                step = []
            step.append(tokens)
        if step:
            vectors.append(self._step(step, pooling or self.about.pooling))
        width = self.pack.manifest.model.hidden_size
        result = np.concatenate(vectors) if vectors else np.zeros((0, width), np.float32)
        if self.about.normalize if normalize is None else normalize:
            result = result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12)
        return result.astype(np.float32)

    def _step(self, texts: Sequence[Sequence[int]], pooling: Pooling) -> F32:
        counts = np.array([len(tokens) for tokens in texts], np.int32)
        ends = np.cumsum(counts, dtype=np.int32)
        firsts = ends - counts
        means = {"mean": (firsts, ends), "cls": (firsts, firsts + 1), "last": (ends - 1, ends)}
        inputs: dict[str, npt.NDArray[np.generic]] = {
            "token_ids": np.concatenate([np.array(tokens, np.int32) for tokens in texts]),
            "positions": np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
            + np.int32(self.about.first_position),
            "token_seq": np.repeat(np.arange(len(texts), dtype=np.int32), counts),
            "texts": np.stack([firsts, ends, *means[pooling]], axis=1).astype(np.int32),
        }
        symbols = self._most | {"tokens": int(ends[-1]), "seqs": len(texts)}
        self._player.run("embed", inputs, symbols)
        width = self.pack.manifest.model.hidden_size
        buffer = self._memory.buffers["embeddings"]
        data = self._device.queue.read_buffer(buffer, 0, len(texts) * width * 4)
        return np.frombuffer(data, "<f4").reshape(len(texts), width)

    def _check(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise InvalidRequestError("a text has no tokens: give its special tokens at least")
        longest = self.pack.manifest.limits.context_length
        if len(tokens) > longest:
            raise ContextFullError(f"a text has {len(tokens)} tokens, more than {longest}: cut it")
        if not all(0 <= token < self.vocab_size for token in tokens):
            raise InvalidRequestError(f"tokens must be 0 to {self.vocab_size - 1}: {list(tokens)}")
